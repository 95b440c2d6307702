"""What happened, a line each: what a function was told, or looked at by itself, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eventing.recordings.recording import Record, Recording, RecordingError
from kaito.runtime.events import BadEvent, Event, parse
from kaito.runtime.keys import PING


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a function was told, or looked at by itself (``delivery`` is None then), and what it decided."""

    record: Record
    what: str
    decisions: tuple[Record, ...]
    delivery: Record | None
    answer: Record | None
    outcome: str
    failed: bool
    objects: tuple[str, ...]


def lines(recording: Recording) -> Iterator[Line]:
    """In the order in which they came."""
    by_cause: dict[str, list[Record]] = {}
    own = list[Record]()
    for decision in recording.decisions.values():
        causes = [it for it in decision.data["because"] if it in recording.deliveries]
        for cause in causes:
            by_cause.setdefault(cause, []).append(decision)
        if not causes:
            own.append(decision)
    heard = [_heard(it, tuple(by_cause.get(it.name, ())), recording) for it in recording.deliveries.values()]
    yield from sorted((*heard, *(_looked(it, recording) for it in own)), key=lambda it: it.record.order)


def _heard(delivery: Record, decisions: tuple[Record, ...], recording: Recording) -> Line:
    answer = recording.answers.get(delivery.name)
    outcome, failed = _outcome(decisions, recording)
    if answer is None:
        outcome, failed = "never answered", True
    elif answer.data["status"] >= 300:
        outcome, failed = f"{answer.data['status']}: {answer.data['reason']}", True
    elif not answer.data["hints"]:
        outcome = "not its concern"
    objects = tuple(dict.fromkeys(it.subject for it in decisions))
    return Line(delivery, described(delivery), decisions, delivery, answer, outcome, failed, objects)


def _looked(decision: Record, recording: Recording) -> Line:
    outcome, failed = _outcome((decision,), recording)
    first = next(iter(decision.data["because"]), "")
    why = "a refused write" if first in recording.decisions else first or "asked for"
    return Line(decision, f"({why}) {decision.subject}", (decision,), None, None, outcome, failed, (decision.subject,))


def _outcome(decisions: Sequence[Record], recording: Recording) -> tuple[str, bool]:
    if not decisions:
        return "nothing new", False
    writes = [write for decision in decisions for write in recording.writes.get(decision.name, ())]
    failures = [write.data["error"] for write in writes if write.data["error"]]
    if failures:
        return f"{failures[0]['type']}: {failures[0]['message']}", True
    return f"{len(writes)} write{'s' * (len(writes) != 1)}" if writes else "as it should be", False


def event_of(delivery: Record) -> Event | None:
    """The CloudEvent that it brought; None where it was none."""
    try:
        return parse(delivery.data["headers"], str(delivery.data.get("body", "")).encode())
    except BadEvent:
        return None


def described(delivery: Record) -> str:
    """For a line: what happened to which object."""
    event = event_of(delivery)
    if event is None:
        return "(no CloudEvent)"
    if event.type == PING:
        return f"sweep, by {event.source.rpartition('/')[2]}"
    about = (event.attributes.get(name, "") for name in ("kind", "namespace", "name"))
    named = "/".join(it for it in about if it)
    return f"{event.type.rpartition('.')[2]} {named or event.subject or event.source}"


def find(recording: Recording, name: str) -> Line:
    """By what the recording calls it, or by the event's id: then of whoever decided something because of it, where
    several were told. Raises RecordingError."""
    every = list(lines(recording))
    for line in every:
        if name in (line.record.name, *(it.name for it in line.decisions)):
            return line
    told = [it for it in every if it.delivery is not None and (event := event_of(it.delivery)) and event.id == name]
    if told:
        return next((it for it in told if it.decisions), told[0])
    raise RecordingError(f"there is no event {name} in the recording: `kaito events` lists them")
