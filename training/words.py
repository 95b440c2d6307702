"""What a container of the tuning Job says last, for whoever watches the Job."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Final

#: Names another file than the one where kubelet looks.
_VARIABLE: Final = "TERMINATION_LOG"
_KUBELETS: Final = Path("/dev/termination-log")
_MOST: Final = 3000  # bytes of a message; kubelet keeps 4096 of all


def last_words(stage: str, reason: str, message: str, *, permanent: bool = False) -> None:
    """Written as JSON where kubelet looks for them, or nowhere: it raises nothing, as the container ends anyway.

    ``reason`` is one word for programs, ``message`` a sentence for people. ``permanent``: only they can help.
    """
    named = os.environ.get(_VARIABLE, "")
    if not named and not os.access(_KUBELETS, os.W_OK):
        return
    short = message.encode(errors="replace")[:_MOST].decode(errors="ignore")
    said = json.dumps({"stage": stage, "reason": reason, "message": short, "permanent": permanent}, ensure_ascii=False)
    with contextlib.suppress(OSError):
        (Path(named) if named else _KUBELETS).write_text(said, encoding="utf-8")


def said_last() -> dict[str, object]:
    """The last words that were left so far; nothing where there are none."""
    try:
        found = json.loads(Path(os.environ.get(_VARIABLE) or _KUBELETS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
