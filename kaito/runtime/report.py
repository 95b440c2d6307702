"""Reporting on an object: its status, and the Kubernetes Events of what changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kaito.api.conditions import conditions_of, settle
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.status import identity, same_status, transitions
from kaito.runtime.plan import Apply


def report(
    obj: Object, found: Sequence[Condition], facts: Object, *, told: Sequence[Condition], function: str, now: datetime
) -> tuple[Apply, ...]:
    """The writes that make the status say ``found`` and ``facts``; none where it says so already.

    Transitions of the conditions in ``told`` become Events. These come first: they are found by comparing with the
    status, so after it they would be lost by a crash.
    """
    before = conditions_of(obj)
    status = {**facts, "conditions": settle(found, before, now)}
    if same_status(status, obj.get("status")):
        return ()
    gist = ", ".join(f"{condition.type}={condition.status}" for condition in found)
    return (
        *(Apply(event, event["reason"]) for event in transitions(obj, before, told, function, now)),
        Apply({**identity(obj), "status": status}, gist, subresource="status"),
    )
