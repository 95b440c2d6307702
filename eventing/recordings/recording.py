"""A recording as it was kept: records by what they are of, in the order in which things happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

from pydantic_core import from_json

from kaito.api.resources import Object
from kaito.runtime.recording import records
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.sinks import ENDING

_SOURCE: Final = "/kaito/functions/"


class RecordingError(ValueError):
    """What was given is no recording, or has not what is asked for; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """``process``: the one of a function that it is of, FUNCTION/INSTANCE."""

    kind: str
    name: str
    process: str
    when: datetime
    subject: str
    data: Object

    @property
    def function(self) -> str:
        return self.process.partition("/")[0]

    @property
    def order(self) -> tuple[datetime, str]:
        return self.when, self.name


@dataclass(slots=True)
class Recording:
    """``deliveries`` and ``decisions`` are by name, in their order; ``answers`` by the delivery, ``writes`` by the
    decision, ``installations`` by the process that they are of."""

    objects: dict[str, Object] = field(default_factory=dict)
    installations: dict[str, Record] = field(default_factory=dict)
    deliveries: dict[str, Record] = field(default_factory=dict)
    answers: dict[str, Record] = field(default_factory=dict)
    decisions: dict[str, Record] = field(default_factory=dict)
    writes: defaultdict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    lost: int = 0

    @classmethod
    def of(cls, found: Iterable[Record]) -> Self:
        made = cls()
        for record in sorted(found, key=lambda it: it.order):
            made.add(record)
        return made

    def object(self, digest: str) -> Object:
        """Raises RecordingError where the recording has lost it."""
        try:
            return self.objects[digest]
        except KeyError:
            raise RecordingError(f"object {digest} is not in the recording: it has lost its beginning") from None

    def installation(self, process: str) -> Installation:
        """Raises RecordingError."""
        try:
            return Installation.from_json(self.installations[process].data)
        except KeyError:
            raise RecordingError(f"what {process} was started with is not in the recording") from None

    def add(self, record: Record) -> None:
        match record.kind:
            case records.OBJECT:
                self.objects[record.name] = record.data["object"]
            case records.INSTALLATION:
                self.installations[record.process] = record
            case records.DELIVERY:
                self.deliveries[record.name] = record
            case records.ANSWER:
                self.answers[record.data["delivery"]] = record
            case records.DECISION:
                self.decisions[record.name] = record
            case records.WRITE:
                self.writes[record.data["decision"]].append(record)
            case records.LOST:
                self.lost += record.data["records"]


def read(paths: Iterable[Path]) -> Recording:
    """Of files, and of directories with such. Raises RecordingError."""
    return Recording.of(record for file in files(paths) for _, record in read_lines(file))


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Of directories, the recordings in them. Raises RecordingError where there are none."""
    for path in paths:
        found = sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path]
        if not found:
            raise RecordingError(f"{path} has no *{ENDING}: name a recording, or a directory with some")
        yield from found


def read_lines(file: Path) -> Iterator[tuple[bytes, Record]]:
    """Each line that is a record, as it is there. Raises RecordingError."""
    try:
        with file.open("rb") as lines:
            yield from records_in(lines, str(file))
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error.strerror}") from error


def records_in(lines: Iterable[bytes], where: str) -> Iterator[tuple[bytes, Record]]:
    """Those of the lines that are records. Raises RecordingError."""
    for number, line in enumerate(lines, 1):
        try:
            record = record_of(from_json(line))
        except ValueError as error:
            if line.endswith(b"\n"):
                raise RecordingError(f"{where}, line {number}: {error}") from error
            return  # whoever wrote it was cut short
        if record is not None:
            yield line, record


def objects_of(value: Any) -> frozenset[str]:
    """The digests of the objects that are in the place of these, anywhere in what a record says."""
    found, left = set[str](), [value]
    while left:
        match left.pop():
            case {"$object": str(digest)}:
                found.add(digest)
            case {"$json": _}:
                pass  # not ours: whatever it holds stands for itself
            case dict() as fields:
                left += fields.values()
            case list() as items:
                left += items
    return frozenset(found)


def record_of(event: Any) -> Record | None:
    """From an event in CloudEvents' JSON format; None for one that is no record. Raises ValueError."""
    if not isinstance(event, dict) or "specversion" not in event:
        raise ValueError("no CloudEvent")
    kind, source = str(event["type"]), str(event["source"])
    if not kind.startswith(records.PREFIX) or not source.startswith(_SOURCE):
        return None
    return Record(
        kind.removeprefix(records.PREFIX),
        event["id"],
        source.removeprefix(_SOURCE),
        datetime.fromisoformat(event["time"]),
        event.get("subject", ""),
        event["data"],
    )
