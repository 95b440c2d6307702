"""What ends a tuning for good: by a person only it can be mended."""

from __future__ import annotations

from typing import Final

#: The exit code that tells the Job not to try again (EX_DATAERR of sysexits.h).
EXIT_CODE: Final = 65


class TuningError(Exception):
    """``reason`` is one word, as conditions have it; the message says what is wrong and what to change."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def first_line(error: BaseException) -> str:
    """What a library's error says first, without a full stop; its class where it says nothing."""
    return str(error).strip().partition("\n")[0].rstrip(". ") or type(error).__name__
