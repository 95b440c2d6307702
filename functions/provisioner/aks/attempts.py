"""Attempt after attempt: what failed is put on record, then told, and then the next may come. Pure.

An attempt is an instance type of those that the claim names, in their order and then from the first again, with a pause
between rounds. Another type is tried where Azure has not the one; what else goes wrong would go wrong with any.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from functions.provisioner.aks.failure import Cause, Failure
from functions.provisioner.launch import stage
from functions.provisioner.observed import Observed
from kaito.api.claims import Claim
from kaito.api.conditions import parse_time, rfc3339
from kaito.api.meta import Condition
from kaito.runtime.plan import Apply, Delete, Effect

#: Of a claim: the attempt that comes next, and the time before which it does not.
ANNOTATION_ATTEMPT: Final = "kaito.sh/launch-attempt"
ANNOTATION_AFTER: Final = "kaito.sh/launch-after"
#: Characters of a condition's message, at most.
MESSAGE: Final = 800


def noted(claim: Claim) -> int:
    """The attempt that comes next, as the claim says."""
    found = claim.metadata.annotations.get(ANNOTATION_ATTEMPT, "")
    return int(found) if found.isdecimal() else 0


def pending(claim: Claim, now: datetime) -> tuple[float, str]:
    """The seconds until the next attempt may begin, and when that is."""
    after = claim.metadata.annotations.get(ANNOTATION_AFTER, "")
    return (parse_time(after) - now).total_seconds() if after else 0.0, after


def following(claim: Claim, failure: Failure, attempt: int) -> int:
    """The attempt after a failed one: of the next instance type, or of the same in the next round."""
    return attempt + (1 if failure.cause.is_the_types else max(1, len(claim.instance_types)))


def failed(claim: Claim, failure: Failure, attempt: int) -> tuple[Condition, float]:
    """What a failed attempt means for the claim, and the seconds before the next: none while there are instance types
    that this round has not tried."""
    types = claim.instance_types
    if failure.cause.is_the_types and _types_left(claim, attempt):
        message = f"{types[attempt % len(types)]}: {failure.message}; {types[(attempt + 1) % len(types)]} comes next"
        return stage(claim, 0, "Unknown", failure.reason, message[:MESSAGE]), 0
    return condition(claim, failure), failure.pause(attempt // max(1, len(types)))


def condition(claim: Claim, failure: Failure) -> Condition:
    """False where a person has to act, or all that was asked for has been tried."""
    message = failure.message
    if failure.cause is Cause.CAPACITY:
        message = f"all requested instance types were unavailable during launch: {message}"
    return stage(claim, 0, "Unknown" if failure.cause.passes else "False", failure.reason, message[:MESSAGE])


def but(told: Condition, failure: Failure) -> Condition:
    """What is told already, and that Azure does not do what is next."""
    return told.model_copy(
        update={"message": f"{told.message}; Azure refuses what is next: {failure.message}"[:MESSAGE]}
    )


def note(observed: Observed, attempt: int, now: datetime, pause: float) -> Apply:
    """The record of which attempt comes next, and when."""
    assert observed.claim is not None
    meta = observed.claim["metadata"]
    after = rfc3339(now + timedelta(seconds=pause))
    annotations = {ANNOTATION_ATTEMPT: str(attempt), ANNOTATION_AFTER: after}
    record = {"name": meta["name"], "uid": meta["uid"], "annotations": annotations}
    head = {"apiVersion": observed.claim["apiVersion"], "kind": observed.claim["kind"]}
    return Apply({**head, "metadata": record}, f"attempt {attempt + 1} not before {after}")


def given_up(claim: Claim, failure: Failure, attempt: int) -> tuple[Effect, ...]:
    """A NodePool's claim goes where none of its instance types is to be had: the NodePool may choose others."""
    owned = any(owner.kind == "NodePool" for owner in claim.metadata.owner_references)
    if not owned or failure.cause is not Cause.CAPACITY or _types_left(claim, attempt):
        return ()
    why = "its NodePool may choose another instance type"
    return (Delete(claim.kind, claim.metadata.name, "", claim.metadata.uid, why),)


def _types_left(claim: Claim, attempt: int) -> bool:
    """Are there instance types that this round of attempts has not tried?"""
    return (attempt + 1) % max(1, len(claim.instance_types)) != 0
