"""A recording while it grows: its lines, each as soon as it is known what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eventing.recordings.lines import Line, lines
from eventing.recordings.recording import Record, Recording
from kaito.runtime.recording import records

#: Seconds after which a line is told as it is: an answer takes less, and of a look's writes some may never be.
_ANSWERED, _WRITTEN = 60.0, 10.0
#: Seconds after which a record is forgotten: nothing that belongs to it comes any more.
_LATEST: Final = 600.0
_NO_PART: Final = (records.OBJECT, records.INSTALLATION)


class Following:
    """``lost``: how many records there was no room for, so far."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Record, float]] = {}
        self._told: dict[str, float] = {}
        self.lost = 0

    def take(self, found: Iterable[Record], now: float) -> list[Line]:
        """The lines that have come to be known; ``now`` is in seconds, from whenever."""
        for record in found:
            name = record.process, record.name
            if record.kind in _NO_PART or name in self._held:
                continue
            self._held[name] = record, now
            self.lost += record.data["records"] if record.kind == records.LOST else 0
        recording = Recording.of(record for record, _ in self._held.values())
        known = [
            it for it in lines(recording) if it.record.name not in self._told and self._is_known(it, recording, now)
        ]
        self._told |= {it.record.name: now for it in known}
        self._forget(now)
        return known

    def _is_known(self, line: Line, recording: Recording, now: float) -> bool:
        waited = now - self._held[line.record.process, line.record.name][1]
        if line.delivery is not None:
            return line.answer is not None or waited > _ANSWERED
        effects, written = line.record.data["plan"]["effects"], recording.writes.get(line.record.name, ())
        return line.failed or len(written) >= len(effects) or waited > _WRITTEN

    def _forget(self, now: float) -> None:
        self._held = {name: held for name, held in self._held.items() if now - held[1] < _LATEST}
        self._told = {name: then for name, then in self._told.items() if now - then < _LATEST}
