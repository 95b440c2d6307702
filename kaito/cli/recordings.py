"""``kaito events`` and ``kaito replay``: what the functions were told and did, and whether they would do it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from eventing.recordings.lines import Line, event_of, find, lines
from eventing.recordings.recording import Record, Recording, RecordingError, read
from eventing.recordings.replay import Replay, difference
from eventing.recordings.story import story
from kaito.embedded.error import EmbeddedError
from kaito.embedded.recordings import FOLDER

_NAME_WIDTH: Final = 17


class NoRecording(EmbeddedError):
    """There is none, or not what is asked for in it."""


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
        return (
            (not self.object or any(it.endswith(self.object.lower()) for it in names))
            and (not self.function or line.record.function.endswith(self.function))
            and (self.since is None or line.record.when >= self.since)
            and (self.until is None or line.record.when <= self.until)
            and (not self.failed or line.failed)
        )


def opened(paths: Sequence[Path], directory: Path) -> Recording:
    """Of these files, or of the platform in that directory."""
    if not paths and not (directory / FOLDER).is_dir():
        raise NoRecording(f"{directory} has no recording: name one, or run `kaito up` there")
    try:
        return read(paths or [directory / FOLDER])
    except RecordingError as error:
        raise NoRecording(str(error)) from error


def listed(recording: Recording, wanted: Wanted) -> Iterator[str]:
    for line in filter(wanted, lines(recording)):
        yield _row(line)
    if recording.lost:
        yield f"{recording.lost} records were lost: there was no room for them"


def listed_json(recording: Recording, wanted: Wanted) -> str:
    return json.dumps([_json(line) for line in filter(wanted, lines(recording))], indent=2)


def shown(recording: Recording, name: str) -> str:
    try:
        return story(find(recording, name), recording)
    except RecordingError as error:
        raise NoRecording(str(error)) from error


@dataclass(slots=True)
class Verdict:
    """``texts``: of each decision that today's code does not make."""

    decisions: int
    texts: list[str]

    @property
    def sum(self) -> str:
        of = f"{self.decisions} decision{'s' * (self.decisions != 1)}"
        return f"{of}, {len(self.texts)} of them otherwise today" if self.texts else f"{of}, the same today"


def replayed(recording: Recording, wanted: Wanted, event: str = "") -> Verdict:
    """Each decision, in order, made again; those that come of one ``event``, if it is given."""
    try:
        chosen = find(recording, event).decisions if event else tuple(recording.decisions.values())
    except RecordingError as error:
        raise NoRecording(str(error)) from error
    found = Verdict(0, [])
    with Replay(recording) as replay:
        for decision in filter(lambda it: _is_wanted(it, wanted), chosen):
            found.decisions += 1
            again = replay.decide(decision)
            if not again.same:
                said = [again.trouble] if again.trouble else difference(again, recording)
                found.texts.append("\n".join((_title(decision), *(f"  {it}" for it in said))))
    return found


def _is_wanted(decision: Record, wanted: Wanted) -> bool:
    return (
        decision.subject.endswith(wanted.object.lower())
        and decision.function.endswith(wanted.function)
        and (wanted.since is None or decision.when >= wanted.since)
        and (wanted.until is None or decision.when <= wanted.until)
    )


def _title(decision: Record) -> str:
    return f"{decision.when:%H:%M:%S.%f} {decision.function} {decision.subject} ({decision.name})"


def _row(line: Line) -> str:
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


def moment(text: str) -> datetime:
    """A time as RFC 3339 has it, in UTC where it does not say. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
