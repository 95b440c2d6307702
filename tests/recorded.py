"""A sink in memory, for tests of what is recorded; and a recording of what was put there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from eventing.recordings.recording import Recording, record_of

LIMIT: Final = 10.0


class Kept:
    """Fails so many times first; ``keeps``: what comes next is beside what came before."""

    def __init__(self, failures: int = 0, *, keeps: bool = True) -> None:
        self.kept: list[bytes] = []
        self.failures, self.keeps = failures, keeps
        self.puts = 0
        self.closed = False
        self._changed = threading.Condition()

    def put(self, lines: Sequence[bytes]) -> bool:
        with self._changed:
            self.puts += 1
            fails = self.puts <= self.failures
            self.kept += [] if fails else lines
            self._changed.notify_all()
        if fails:
            raise OSError("no room")
        return self.keeps

    def close(self) -> None:
        self.closed = True

    def wait(self, look: Callable[[], bool]) -> None:
        """Until that is so; something may be put before, well or not."""
        with self._changed:
            assert self._changed.wait_for(look, LIMIT)

    @property
    def events(self) -> list[dict[str, Any]]:
        """In CloudEvents' JSON format."""
        return [json.loads(line) for line in self.kept]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [it for it in self.events if it["type"] == f"sh.kaito.recording.{kind}"]

    @property
    def recording(self) -> Recording:
        return Recording.of(filter(None, map(record_of, self.events)))

    def write(self, file: Path) -> Path:
        file.write_bytes(b"".join(self.kept))
        return file
