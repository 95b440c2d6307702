"""What came of one event: what was seen because of it, what was decided and why, and what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eventing.recordings.lines import Line, event_of
from eventing.recordings.plain import as_yaml, changes, plain
from eventing.recordings.recording import Record, Recording, objects_of
from kaito.api.resources import Object


def story(line: Line, recording: Recording) -> str:
    """The event, what was seen, what was decided and why, and what was written."""
    return "\n".join(_story(line, recording))


def _story(line: Line, recording: Recording) -> Iterator[str]:
    yield f"{line.record.when:%Y-%m-%d %H:%M:%S.%f} {line.record.function}: {line.what}"
    if line.delivery is not None:
        yield from _told(line.delivery, line.answer)
    if line.delivery is not None and not line.decisions:
        yield ""
        hints = line.answer is None or line.answer.data["hints"]
        why = "what it says is known" if hints else "it is not this function's concern"
        yield f"Nothing was looked at: {why}."
    for decision in line.decisions:
        yield ""
        before = _before(decision, recording)
        yield f"{decision.subject}, {_because(decision, line, before)}"
        yield from _seen(decision, before, recording)
        yield from _decided(decision, recording)


def _told(delivery: Record, answer: Record | None) -> Iterator[str]:
    event = event_of(delivery)
    if event is not None:
        yield f"  event     {event.type}, id {event.id}, of {event.source}"
    yield f"  recorded  {delivery.name}, attempt {delivery.data.get('attempt', 1)}"
    if answer is not None:
        reason = f" ({answer.data['reason']})" if answer.data["reason"] else ""
        yield f"  answered  {answer.data['status']}{reason} after {answer.data['seconds'] * 1000:.0f} ms"


def _because(decision: Record, line: Line, before: Record | None) -> str:
    others = len(decision.data["because"]) - 1
    with_others = f" and of {others} more" if line.delivery is not None and others else ""
    since = f", last looked at {(decision.when - before.when).total_seconds():.1f} s before" if before else ""
    return f"decided {decision.name}{' because of this' if line.delivery is not None else ''}{with_others}{since}"


def _seen(decision: Record, before: Record | None, recording: Recording) -> Iterator[str]:
    """What was observed, as it differs from the last time that the same function looked at the same object."""
    now = as_yaml(plain(decision.data["observed"], recording.objects))
    if before is None:
        yield "  seen, for the first time in this recording:"
        yield from (f"    {it}" for it in now)
        return
    differs = changes(as_yaml(plain(before.data["observed"], recording.objects)), now)
    yield "  seen, against the last time:" if differs else "  seen: nothing that differs from the last time"
    yield from (f"    {it}" for it in differs)


def _decided(decision: Record, recording: Recording) -> Iterator[str]:
    plan, writes = decision.data["plan"], recording.writes.get(decision.name, ())
    outcomes = {write.data["effect"]: write for write in writes}
    if (refused := decision.data["refused"]) is not None:
        yield f"  of a write that was refused: {refused['error'].get('message', '')}"
    if not plan["effects"]:
        yield "  decided: nothing is to be done"
    for place, effect in enumerate(plan["effects"]):
        yield f"  decided: {summary(effect, recording.objects)}"
        yield f"    {_became(outcomes.get(place), effect)}"
        yield from (f"    {it}" for it in _difference(effect, decision, recording))
    more = [] if plan["settled"] else ["it is under way"]
    if plan["requeue_after"] is not None:
        more.append(f"look again in {plan['requeue_after']:g} s")
    if more:
        yield f"  and: {', '.join(more)}"


def _became(write: Record | None, effect: Object) -> str:
    announces = effect["$class"] == "Announce"
    if write is None and announces:
        return "not sent: there is no Broker, or it has not answered"
    if write is None:
        return "not written: something else came first"
    error, took = write.data["error"], f"{write.data['seconds'] * 1000:.0f} ms"
    if error:
        return f"failed after {took}: {error['type']}: {error['message']}"
    return f"{'sent' if announces else 'written'} in {took}"


def summary(effect: Object, objects: Mapping[str, Object]) -> str:
    """What an effect does to what, and why."""
    kind, why = effect["$class"], effect.get("why", "")
    if kind == "Announce":
        event = effect["event"]["$json"]
        return f"announce {event['type']}: {event['subject']}"
    obj = _object(effect.get("object") or effect.get("event") or effect.get("workspace"), objects)
    if kind == "Tell":
        return f"tell {obj.get('reason', '')}: {obj.get('message', '')}"
    name = effect.get("name") or (obj.get("metadata") or {}).get("name", "")
    of = (effect.get("kind") or {}).get("kind") or obj.get("kind", "")
    part = f"/{effect['subresource']}" if effect.get("subresource") else ""
    return " ".join(it for it in (kind.lower(), of, f"{name}{part}") if it) + (f": {why}" if why else "")


def _difference(effect: Object, decision: Record, recording: Recording) -> list[str]:
    """What an apply changes in what was seen of its object; the whole of it where nothing was."""
    if effect["$class"] != "Apply":
        return []
    wanted = _object(effect["object"], recording.objects)
    seen = (recording.objects.get(digest) for digest in objects_of(decision.data["observed"]))
    found = next((it for it in seen if it is not None and _same(it, wanted)), None)
    if effect.get("subresource") == "status":
        before = (found or {}).get("status") or {}
        kept = {name: before[name] for name in wanted.get("status", {}) if name in before}
        return changes(as_yaml(kept), as_yaml(wanted.get("status", {})))
    return changes(as_yaml(_part(found, wanted)) if found else [], as_yaml(wanted))


def _part(found: Any, wanted: Any) -> Any:
    """Of what was found, the fields that are wanted."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {name: _part(found[name], value) for name, value in wanted.items() if name in found}
    return found


def _same(one: Object, other: Object) -> bool:
    return one["kind"] == other["kind"] and all(
        one["metadata"].get(name) == other["metadata"].get(name) for name in ("namespace", "name")
    )


def _object(value: Any, objects: Mapping[str, Object]) -> Object:
    return objects.get(value["$object"], {}) if isinstance(value, dict) and "$object" in value else {}


def _before(decision: Record, recording: Recording) -> Record | None:
    """What the same function decided of the same object the last time."""
    earlier = (
        it
        for it in recording.decisions.values()
        if it.order < decision.order and it.subject == decision.subject and it.function == decision.function
    )
    return max(earlier, key=lambda it: it.order, default=None)
