"""How far it is, in JSON: a line every few seconds."""

from __future__ import annotations

import time
from typing import Final

import structlog

_EVERY: Final = 2.0  # seconds
_log = structlog.get_logger()


class Progress:
    """Of ``total`` bytes; ``event`` is what the lines are called."""

    def __init__(self, event: str, image: str, total: int) -> None:
        self.done = 0
        self._event, self._image, self._total, self._told = event, image, total, time.monotonic()

    def add(self, count: int) -> None:
        """So many bytes more."""
        self.at(self.done + count)

    def at(self, done: int) -> None:
        """So many bytes in all."""
        self.done = done
        if (now := time.monotonic()) >= self._told + _EVERY:
            self._told = now
            percent = round(100 * self.done / max(1, self._total))
            _log.info(self._event, image=self._image, bytes=self.done, of=self._total, percent=percent)


def in_json() -> None:
    """What is logged from here on."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ]
    )
