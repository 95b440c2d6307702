"""Reporting on an object: its status, and the Kubernetes Events of what changed in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from kaito.api.conditions import conditions_of, obstacle, settle
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.status import identity, same_status, transitions
from kaito.runtime.plan import Apply


def report(
    obj: Object,
    found: Sequence[Condition],
    facts: Object,
    *,
    sums: Collection[str],
    function: str,
    now: datetime,
) -> tuple[Apply, ...]:
    """The writes that make the status say ``found`` and ``facts``; none where it says so already.

    What came true or failed becomes an Event; ``sums`` only repeat what others say. Events come first: they are found
    by comparing with the status, so after it they would be lost by a crash.
    """
    before = conditions_of(obj)
    status = {**facts, "conditions": settle(found, before, now)}
    if same_status(status, obj.get("status")):
        return ()
    gist = ", ".join(f"{condition.type}={condition.status}" for condition in found)
    return (
        *(Apply(event, event["reason"]) for event in _told(obj, found, before, sums, function, now)),
        Apply({**identity(obj), "status": status}, gist, subresource="status"),
    )


def _told(
    obj: Object,
    found: Sequence[Condition],
    before: Mapping[str, Condition],
    sums: Collection[str],
    function: str,
    now: datetime,
) -> Iterator[Object]:
    """What has come true or failed; where that is nothing, what is waited for once there is something to wait for."""
    parts = [condition for condition in found if condition.type not in sums]
    events = list(transitions(obj, before, (it for it in parts if it.status != "Unknown"), function, now))
    awaited = obstacle(parts)
    if not events and awaited is not None:
        old = before.get(awaited.type)
        if old is None or old.status != "Unknown":
            events = list(transitions(obj, before, (awaited,), function, now))
    yield from events
