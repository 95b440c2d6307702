"""The last words of a container, for whoever started it."""

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
    """As JSON, where kubelet looks for them, or nowhere: it raises nothing, as the container ends anyway."""
    named = os.environ.get(TERMINATION_LOG)
    if named or os.access(LAST_WORDS, os.W_OK):
        with suppress(OSError):
            Path(named or LAST_WORDS).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
