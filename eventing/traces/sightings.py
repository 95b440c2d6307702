"""When what objects say was first seen: the API server's own times are whole seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from eventing.recordings.lines import event_of
from eventing.recordings.recording import Record, Recording, objects_of
from kaito.api.conditions import conditions_of
from kaito.api.resources import Object
from kaito.runtime.events import BadEvent

_SECOND: Final = timedelta(seconds=1)


class Sightings:
    """The states of all objects of a recording, by uid, in the order in which they were seen."""

    def __init__(self, recording: Recording) -> None:
        self.states: dict[str, list[tuple[datetime, Object]]] = defaultdict(list)
        for when, obj in sorted(_seen(recording), key=lambda it: it[0]):
            self.states[obj["metadata"]["uid"]].append((when, obj))

    def first(self, uid: str, holds: Callable[[Object], bool] = lambda _: True) -> tuple[datetime, Object] | None:
        """The first state of which that holds, and when it was seen."""
        return next((it for it in self.states.get(uid, ()) if holds(it[1])), None)

    def created(self, uid: str) -> datetime | None:
        found = self.first(uid)
        if found is None:
            return None
        return settled(str(found[1]["metadata"].get("creationTimestamp") or ""), found[0])

    def became(self, uid: str, condition: str, status: str = "True") -> datetime | None:
        """When a condition first had that status."""

        def holds(obj: Object) -> bool:
            found = conditions_of(obj).get(condition)
            return found is not None and found.status == status

        found = self.first(uid, holds)
        if found is None:
            return None
        return settled(conditions_of(found[1])[condition].last_transition_time, found[0])


def settled(said: str, seen: datetime) -> datetime:
    """The moment that a time in whole seconds is about: within that second, no later than it was seen."""
    second = time_of(said)
    return seen if second is None else max(second, min(seen, second + _SECOND))


def object_of(delivery: Record) -> Object | None:
    """The object that it told of; None where it told of none."""
    event = event_of(delivery)
    try:
        data = event.data if event is not None else None
    except BadEvent:
        return None
    return data if isinstance(data, dict) and (data.get("metadata") or {}).get("uid") and "kind" in data else None


def sent(delivery: Record) -> datetime:
    """When what it brought was made, as far as it says and can be."""
    event = event_of(delivery)
    return min(delivery.when, time_of(event.attributes.get("time", "")) or delivery.when) if event else delivery.when


def time_of(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _seen(recording: Recording) -> Iterator[tuple[datetime, Object]]:
    for delivery in recording.deliveries.values():
        if (obj := object_of(delivery)) is not None:
            yield sent(delivery), obj
    for decision in recording.decisions.values():
        for digest in sorted(objects_of(decision.data["observed"])):
            found = recording.objects.get(digest)
            if found is not None and found["metadata"].get("uid"):
                yield decision.when, found
