"""The last words of a container that pushes, for whoever started it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from oci import LAST_WORDS

#: Where the last words go instead, where there is no kubelet.
TERMINATION_LOG: Final = "TERMINATION_LOG"


def last_words(said: dict[str, Any]) -> None:
    """As JSON; a push is no worse where they cannot be left."""
    named = os.environ.get(TERMINATION_LOG)
    if named or os.access(LAST_WORDS, os.W_OK):
        with suppress(OSError):
            Path(named or LAST_WORDS).write_text(json.dumps(said))
