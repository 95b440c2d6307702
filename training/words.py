"""What a container of the tuning Job says last, for whoever watches the Job."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from oci import LAST_WORDS, words

_MOST: Final = 3000  # bytes of a message; kubelet keeps 4096 of all


def last_words(stage: str, reason: str, message: str, *, permanent: bool = False) -> None:
    """``reason`` is one word for programs, ``message`` a sentence for people. ``permanent``: only they can help."""
    short = message.encode(errors="replace")[:_MOST].decode(errors="ignore")
    words.last_words({"stage": stage, "reason": reason, "message": short, "permanent": permanent})


def said_last() -> dict[str, object]:
    """The last words that were left so far; nothing where there are none."""
    try:
        found = json.loads(Path(os.environ.get(words.TERMINATION_LOG) or LAST_WORDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
