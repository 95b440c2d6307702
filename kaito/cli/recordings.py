"""``kaito events``: what the functions were told, and what came of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from eventing.recordings.following import Following
from eventing.recordings.lines import Line, event_of, find, lines
from eventing.recordings.part import Part
from eventing.recordings.plain import plain
from eventing.recordings.recording import Record, Recording, RecordingError
from eventing.recordings.remote import Remote, is_url
from eventing.recordings.sources import Files, Source
from eventing.recordings.story import story, summary
from kaito.embedded.recordings import FOLDER

#: Seconds between two looks at what grows.
_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: of an object (``workspace/default/phi`` or an end of it), of a function, of a time, failed ones."""

    object: str = ""
    function: str = ""
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False

    def __call__(self, line: Line) -> bool:
        names = (*line.objects, line.what.rpartition(" ")[2].lower())
        return any(map(self.named, names)) and self.then(line.record) and (line.failed or not self.failed)

    def named(self, name: str) -> bool:
        """Is it of the object of that name?"""
        return name.endswith(self.object.lower())

    def then(self, record: Record) -> bool:
        """Is it of the function, and of the time?"""
        return (
            record.function.endswith(self.function)
            and (self.since is None or record.when >= self.since)
            and (self.until is None or record.when <= self.until)
        )

    @property
    def part(self) -> Part:
        """What a recorder is asked for."""
        return Part(object=self.object, function=self.function, since=self.since, until=self.until)


EVERYTHING: Final = Wanted()


def sources(named: Sequence[str], directory: Path) -> list[Source]:
    """These files and recorders, or the platform in that directory. Raises RecordingError."""
    if not named and not (directory / FOLDER).is_dir():
        raise RecordingError(f"{directory} has no recording: name one, or run `kaito up` there")
    paths = [Path(it) for it in named if not is_url(it)] if named else [directory / FOLDER]
    return [*([Files(paths)] if paths else []), *(Remote(it) for it in named if is_url(it))]


def opened(named: Sequence[str], directory: Path, wanted: Wanted = EVERYTHING) -> Recording:
    """Of these, what is wanted, and maybe more. Raises RecordingError."""
    return Recording.of(record for it in sources(named, directory) for _, record in it.read(wanted.part))


def followed(named: Sequence[str], directory: Path, wanted: Wanted, as_text: Callable[[Line], str]) -> Iterator[str]:
    """What there is, and whatever comes, for ever. Raises RecordingError."""
    growing, following, never = sources(named, directory), Following(), threading.Event()
    while True:
        lost = following.lost
        found = (record for it in growing for record in it.new(wanted.part))
        yield from map(as_text, filter(wanted, following.take(found, time.monotonic())))
        yield from _lost(following.lost - lost)
        never.wait(_PAUSE)


def listed(recording: Recording, wanted: Wanted) -> Iterator[str]:
    for line in filter(wanted, lines(recording)):
        yield row(line)
    yield from _lost(recording.lost)


def listed_json(recording: Recording, wanted: Wanted) -> str:
    return json.dumps([_json(line) for line in filter(wanted, lines(recording))], indent=2)


def shown(recording: Recording, name: str) -> str:
    """The story of that event. Raises RecordingError."""
    return story(find(recording, name), recording)


def shown_json(recording: Recording, name: str) -> str:
    """The same for a program: what was observed, the whole plan, and what became of each write."""
    line = find(recording, name)
    looks = [
        {
            "name": it.name,
            "subject": it.subject,
            "because": it.data["because"],
            "observed": plain(it.data["observed"], recording.objects),
            "plan": plain(it.data["plan"], recording.objects),
            "writes": [
                {
                    "effect": summary(it.data["plan"]["effects"][write.data["effect"]], recording.objects),
                    "seconds": write.data["seconds"],
                    "error": write.data["error"],
                }
                for write in recording.writes.get(it.name, ())
            ],
        }
        for it in line.decisions
    ]
    return json.dumps({**_json(line), "decisions": looks}, indent=2)


def _lost(records: int) -> Iterator[str]:
    if records:
        yield f"{records} records were lost: there was no room for them"


def row_json(line: Line) -> str:
    return json.dumps(_json(line))


def row(line: Line) -> str:
    took = f"{line.answer.data['seconds'] * 1000:.0f} ms" if line.answer else ""
    function = line.record.function.removeprefix("kaito-")
    when = f"{line.record.when:%H:%M:%S.%f}"[:-3]
    return f"{when}  {line.record.name}  {function:11}  {took:>8}  {line.what}: {line.outcome}"


def _json(line: Line) -> dict[str, Any]:
    event = event_of(line.delivery) if line.delivery else None
    return {
        "name": line.record.name,
        "time": line.record.when.isoformat(),
        "function": line.record.function,
        "what": line.what,
        "event": dict(event.attributes) if event else None,
        "status": line.answer.data["status"] if line.answer else None,
        "outcome": line.outcome,
        "failed": line.failed,
        "decisions": [it.name for it in line.decisions],
        "objects": list(line.objects),
    }
