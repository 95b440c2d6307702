"""A record as it comes, and what of it the recorder needs to know: what it is of, and what it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from eventing.recordings.lines import described
from eventing.recordings.recording import Record, objects_of, record_of
from kaito.runtime.events import Event
from kaito.runtime.recording import codec, records

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PROCESS: Final = re.compile(r"[!-.0-~]+/[!-.0-~]+")
#: What a database takes whatever it is.
_PLAIN: Final = re.compile(r"[ -~]*")


class NotARecord(ValueError):
    """A CloudEvent that the recorder does not keep; the text says why, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``object``: the name of the one it is about, ``workspace/default/phi``, or empty; ``objects``: the ids of those
    that it is nothing without; ``others``: the ids of records that it belongs to; ``time``: microseconds since 1970."""

    kind: str
    id: str
    process: str
    object: str
    time: int
    objects: frozenset[str]
    others: frozenset[str]
    line: bytes

    @property
    def function(self) -> str:
        return self.process.partition("/")[0]


class _Data(BaseModel):
    model_config = ConfigDict(strict=True)


class _Installation(_Data):
    environment: dict[str, str]
    files: dict[str, dict[str, str]]


class _Object(_Data):
    object: dict[str, Any]


class _Delivery(_Data):
    headers: dict[str, str]
    body: str = ""


class _Answer(_Data):
    delivery: str
    status: int
    reason: str
    hints: int
    seconds: float


class _Decision(_Data):
    because: list[str]
    now: datetime
    observed: Any
    plan: dict[str, Any]
    refused: Any


class _Write(_Data):
    decision: str
    effect: int
    error: dict[str, str] | None
    seconds: float


class _Lost(_Data):
    records: int


_KINDS: Final[Mapping[str, type[_Data]]] = {
    records.INSTALLATION: _Installation,
    records.OBJECT: _Object,
    records.DELIVERY: _Delivery,
    records.ANSWER: _Answer,
    records.DECISION: _Decision,
    records.WRITE: _Write,
    records.LOST: _Lost,
}


def entry_of(event: Event) -> Entry:
    """Raises NotARecord, and BadEvent where its data is not what it says."""
    record = _record(event)
    process, about, objects, others = record.process, "", frozenset[str](), list[str]()
    match record.kind:
        case records.OBJECT:
            obj, process = record.data["object"], ""
            if not codec.is_object(obj) or codec.digest(obj) != record.name:
                raise NotARecord("the id of a recorded object must be its digest")
        case records.DELIVERY:
            about = described(record).rpartition(" ")[2].lower()
        case records.DECISION:
            about, objects, others = record.subject, objects_of(record.data), record.data["because"]
        case records.ANSWER:
            others = [record.data["delivery"]]
        case records.WRITE:
            others = [record.data["decision"]]
    if not all(map(_PLAIN.fullmatch, (*objects, *others))):
        raise NotARecord(f"{event.type} {event.id}: it names another record by what is no id")
    return Entry(
        kind=record.kind,
        id=record.name,
        process=process,
        object=about if _PLAIN.fullmatch(about) else "",
        time=microseconds(record.when),
        objects=objects,
        others=frozenset(filter(None, others)),
        line=_line(event),
    )


def _line(event: Event) -> bytes:
    """As the function has made it, to the byte."""
    made = {name: it for name, it in event.attributes.items() if name != "subject"} | {"data": event.data}
    return to_json(made | ({"subject": event.subject} if event.subject else {})) + b"\n"


def _record(event: Event) -> Record:
    kind = event.type.removeprefix(records.PREFIX)
    if event.type == kind or kind not in _KINDS:
        known = ", ".join(f"{records.PREFIX}{it}" for it in _KINDS)
        raise NotARecord(f"only what functions record is kept, of the types {known}")
    if not isinstance(event.data, dict) or not _PLAIN.fullmatch(event.id) or "time" not in event.attributes:
        raise NotARecord("a record has an id in plain letters, a time, and data in JSON, an object")
    try:
        _KINDS[kind].model_validate_json(event.body)
        record = record_of({**event.attributes, "data": event.data})
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, wrong["loc"])) or "data"
        raise NotARecord(f"{event.type} {event.id}: {where}: {wrong['msg']}") from None
    except ValueError:
        raise NotARecord(f"{event.type} {event.id}: its time must be as in RFC 3339") from None
    if record is None or not _PROCESS.fullmatch(record.process):
        raise NotARecord(f"{event.type} {event.id}: its source must be /kaito/functions/FUNCTION/PROCESS")
    if record.when.tzinfo is None:
        raise NotARecord(f"{event.type} {event.id}: its time must say of which zone it is")
    return record


def microseconds(when: datetime) -> int:
    """Since 1970."""
    elapsed = when - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
