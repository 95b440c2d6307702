"""Spans of what functions were told, decided and wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from eventing.message import ARRIVAL
from eventing.recordings.lines import described, event_of
from eventing.recordings.recording import Record, Recording
from eventing.recordings.story import summary
from eventing.traces.scope import Scope
from eventing.traces.sightings import object_of, sent, settled, time_of
from eventing.traces.span import SERVICE, Span, Value, nanoseconds
from kaito.api.resources import Object
from kaito.api.tracing import ATTRIBUTE, parse, source_span, span_id
from kaito.runtime.events import Event

#: OpenTelemetry's kinds of spans.
_INTERNAL, _CLIENT, _PRODUCER, _CONSUMER = 1, 3, 4, 5
_SOURCE: Final = {SERVICE: "source"}
_BROKER: Final = {SERVICE: "broker"}


@dataclass(frozen=True, slots=True)
class Telling:
    """Of one recording and one Workspace. ``everything``: also what nothing came of."""

    recording: Recording
    scope: Scope
    everything: bool = False

    def spans(self) -> Iterator[Span]:
        decisions = [it for it in self.recording.decisions.values() if self.scope.decided(it) and self._matters(it)]
        told = dict[str, Record]()
        before = dict[str, str]()
        for decision in decisions:
            causes = [
                self.recording.deliveries[it] for it in decision.data["because"] if it in self.recording.deliveries
            ]
            if causes:
                told[causes[0].name] = causes[0]
            told |= {it.name: it for it in causes if self.everything}
            yield self._reconcile(decision, causes, before.get(f"{decision.process} {decision.subject}", ""))
            yield from self._writes(decision)
            before[f"{decision.process} {decision.subject}"] = decision.name
        if self.everything:
            told |= {it.name: it for it in self.recording.deliveries.values() if self._concerns(it)}
        events = dict[str, Span]()
        for delivery in sorted(told.values(), key=lambda it: it.order):
            source = self._source(delivery)
            events.setdefault(source.id, source)
            yield self._broker(delivery, source)
        yield from events.values()

    def _matters(self, decision: Record) -> bool:
        return self.everything or bool(self.recording.writes.get(decision.name))

    def _concerns(self, delivery: Record) -> bool:
        return self.scope.told(delivery) and self.scope.then(delivery)

    def _source(self, delivery: Record) -> Span:
        """From the change, as far as it is known, to when the Broker has the event."""
        event, made, name = event_of(delivery), sent(delivery), described(delivery)
        attributes: dict[str, Value] = {"kaito.what": name}
        if event is None:
            span, arrived, changed = span_id("source", delivery.name), made, made
        else:
            span, arrived = source_span(event.source, event.id), _arrived(event, delivery)
            changed = min(made, _changed(object_of(delivery) or {}, event, made))
            attributes |= _of_event(event)
        return self._span(span, self.scope.root, "source", changed, arrived, _SOURCE, attributes,
                          links=self._foreign(event), kind=_PRODUCER)  # fmt: skip

    def _broker(self, delivery: Record, source: Span) -> Span:
        """From there to the function's receipt, of this attempt."""
        event, answer = event_of(delivery), self.recording.answers.get(delivery.name)
        attributes: dict[str, Value] = {
            "kaito.function": delivery.function,
            "kaito.delivery": delivery.name,
            "kaito.attempt": delivery.data.get("attempt", 1),
        }
        failure = "never answered" if answer is None else ""
        if answer is not None:
            attributes["http.response.status_code"] = answer.data["status"]
            if answer.data["status"] >= 300:
                failure = f"{answer.data['status']}: {answer.data['reason']}"
        began = _arrived(event, delivery) if event is not None else delivery.when
        return self._span(span_id("broker", delivery.name), source.id, "broker", began, delivery.when, _BROKER,
                          attributes, failure=failure, kind=_PRODUCER)  # fmt: skip

    def _reconcile(self, decision: Record, causes: list[Record], before: str) -> Span:
        """From the receipt, or the look, to the last write."""
        because, data = str(next(iter(decision.data["because"]), "")), decision.data
        after = before if because == "conflict" else because if because in self.recording.decisions else ""
        if causes:
            parent, began = span_id("broker", causes[0].name), min(it.when for it in causes)
        else:
            parent, began = span_id("reconcile", after) if after else self.scope.root, decision.when
        writes = self.recording.writes.get(decision.name, ())
        failures = [it.data["error"] for it in writes if it.data["error"]]
        attributes: dict[str, Value] = {
            "kaito.decision": decision.name,
            "kaito.object": decision.subject,
            "kaito.because": ", ".join(sorted({described(it) for it in causes}))
            or ("a refused write" if because in self.recording.decisions else because),
            "kaito.settled": data["plan"]["settled"],
        }
        if conditions := [it["why"] for it in data["plan"]["effects"] if it.get("subresource") == "status"]:
            attributes["kaito.conditions"] = conditions[-1]
        links = [(self.scope.trace, span_id("broker", it.name)) for it in causes[1:]]
        links += [link for it in causes for link in self._foreign(event_of(it))]
        return self._span(
            span_id("reconcile", decision.name),
            parent,
            f"reconcile {decision.function.removeprefix('kaito-')}",
            began,
            max([decision.when, *(it.when for it in writes)]),
            {SERVICE: decision.function, "service.instance.id": decision.process.rpartition("/")[2]},
            attributes,
            links=tuple(dict.fromkeys(links)),
            failure=f"{failures[0]['type']}: {failures[0]['message']}" if failures else "",
            kind=_CONSUMER,
        )

    def _writes(self, decision: Record) -> Iterator[Span]:
        effects = decision.data["plan"]["effects"]
        for write in self.recording.writes.get(decision.name, ()):
            place, error = write.data["effect"], write.data["error"]
            name, _, why = summary(effects[place], self.recording.objects).partition(": ")
            took = timedelta(seconds=write.data["seconds"])
            yield self._span(
                span_id("write", decision.name, str(place)),
                span_id("reconcile", decision.name),
                name,
                write.when - took,
                write.when,
                {SERVICE: decision.function, "service.instance.id": decision.process.rpartition("/")[2]},
                {"kaito.effect": effects[place]["$class"], **({"kaito.why": why} if why else {})},
                failure=f"{error['type']}: {error['message']}" if error else "",
                kind=_CLIENT,
            )

    def _foreign(self, event: Event | None) -> tuple[tuple[str, str], ...]:
        """The trace that somebody else has it in."""
        found = parse(event.attributes.get(ATTRIBUTE, "")) if event is not None else None
        return (found,) if found and found[0] != self.scope.trace else ()

    def _span(
        self,
        span: str,
        parent: str,
        name: str,
        began: datetime,
        ended: datetime,
        resource: Mapping[str, Value],
        attributes: Mapping[str, Value],
        *,
        links: tuple[tuple[str, str], ...] = (),
        failure: str = "",
        kind: int = _INTERNAL,
    ) -> Span:
        return Span(self.scope.trace, span, parent, name, nanoseconds(min(began, ended)), nanoseconds(ended), resource,
                    attributes, (), links, failure, kind)  # fmt: skip


def _arrived(event: Event, delivery: Record) -> datetime:
    """When the Broker had it; where it does not say, when it was made."""
    made = sent(delivery)
    found = time_of(event.attributes.get(ARRIVAL, ""))
    return made if found is None else min(max(found, made), delivery.when)


def _changed(obj: Object, event: Event, made: datetime) -> datetime:
    """The change that it tells of, by the last time that somebody wrote the object."""
    meta = obj.get("metadata") or {}
    if event.type.endswith(".delete") and meta.get("deletionTimestamp"):
        return settled(meta["deletionTimestamp"], made)
    written = [str(it["time"]) for it in meta.get("managedFields") or () if it.get("time")]
    return settled(max(written), made) if written else made


def _of_event(event: Event) -> dict[str, Value]:
    """As OpenTelemetry's conventions call them."""
    said = {name: event.attributes.get(name, "") for name in ("id", "source", "type", "subject")}
    return {f"cloudevents.event_{name}": value for name, value in said.items() if value}
