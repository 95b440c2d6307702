"""What a claim's status says: its stages, and what they add up to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from functions.provisioner.announcements import readiness
from kaito.api.claims import Claim
from kaito.api.conditions import obstacle
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.resources import Object
from kaito.runtime.plan import Effect
from kaito.runtime.report import report

NAME: Final = "kaito-provisioner"


def told(
    obj: Object, claim: Claim, found: Sequence[Condition], facts: Object, now: datetime, instance_type: str = ""
) -> tuple[Effect, ...]:
    """The stages and what they add up to, with what is told of their transitions; nothing where it is said already.

    ``instance_type``: what its node is, where that is known.
    """
    worst = obstacle(found)
    meaning: tuple[ConditionStatus, str, str] = (
        (worst.status, worst.reason, worst.message) if worst else ("True", "Ready", found[-1].message)
    )
    ready = Condition(
        type="Ready",
        status=meaning[0],
        reason=meaning[1],
        message=meaning[2],
        observed_generation=claim.metadata.generation,
    )
    written = report(obj, (*found, ready), facts, sums=("Ready",), function=NAME, now=now)
    return (*readiness(obj, claim, ready, facts, instance_type, now), *written)


def told_besides(obj: Object, claim: Claim, news: Condition, now: datetime) -> tuple[Effect, ...]:
    """One stage anew; what else the status says stays."""
    stages = [claim.conditions[name] for name in claim.stages if name in claim.conditions and name != news.type]
    found = sorted((*stages, news), key=lambda condition: claim.stages.index(condition.type))
    kept: Object = {key: value for key, value in (obj.get("status") or {}).items() if key != "conditions"}
    return told(obj, claim, found, kept, now)
