"""Reporting on an object: its status, and the Kubernetes Events of what changed in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from kaito.api.conditions import conditions_of, settle
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.status import identity, is_transition, same_status, transitions
from kaito.runtime.plan import Apply, Effect, Tell


def report(
    obj: Object,
    found: Sequence[Condition],
    facts: Object,
    *,
    sums: Collection[str],
    shared: Collection[str] = (),
    function: str,
    now: datetime,
) -> tuple[Effect, ...]:
    """The writes that make the status say ``found`` and ``facts``; none where it says so already.

    What failed, and how far it has come, become Events; ``sums`` only repeat what others say. ``shared`` are the
    fields and conditions that another function writes, unless they are among ours. Events come first: they
    are found by comparing with the status, so after it they would be lost by a crash.
    """
    before = conditions_of(obj)
    status = {**facts, "conditions": settle(found, before, now)}
    theirs = {*shared} - {*facts} - {condition.type for condition in found}
    if same_status(status, _without(obj.get("status") or {}, theirs)):
        return ()
    told = _told(found, before, sums)
    gist = ", ".join(f"{condition.type}={condition.status}" for condition in found)
    return (
        *(Tell(event) for event in transitions(obj, before, told, function, now)),
        Apply({**identity(obj), "status": status}, gist, subresource="status", tells=True, beside=frozenset(theirs)),
    )


def _without(status: Object, theirs: Collection[str]) -> Object:
    kept = {name: value for name, value in status.items() if name not in theirs}
    conditions = [condition for condition in kept.get("conditions") or () if condition["type"] not in theirs]
    return {**kept, "conditions": conditions}


def _told(found: Sequence[Condition], before: Mapping[str, Condition], sums: Collection[str]) -> Iterator[Condition]:
    """What has failed, and the last that has come true: each condition stands on those before it."""
    parts = [condition for condition in found if condition.type not in sums]
    yield from (condition for condition in parts if condition.status == "False")
    true = [condition for condition in parts if condition.status == "True" and is_transition(condition, before)]
    yield from true[-1:]
