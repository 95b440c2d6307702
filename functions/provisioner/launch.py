"""What a cloud is to a claim: it gets it a node and lets go of it. The stages are the same for every cloud. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import Claim
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.resources import Object
from kaito.runtime.plan import Effect
from presets import Sku


@dataclass(frozen=True, slots=True)
class Launch:
    """How far the cloud is: ``condition`` is the claim's first stage, ``effects`` what the cloud writes next,
    ``nodes`` the claim's nodes once that is written, ``facts`` what it knows for the claim's status, and
    ``requeue_after`` the seconds until looking again is worth it without an event."""

    condition: Condition
    nodes: tuple[Object, ...]
    effects: tuple[Effect, ...] = ()
    facts: Object = field(default_factory=dict)
    requeue_after: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """``effects`` let go of the claim's nodes; ``done``: after them nothing of the claim is left in the cloud. Until
    then, ``condition`` is what keeps it, where that is worth telling."""

    effects: tuple[Effect, ...]
    done: bool
    condition: Condition | None = None
    requeue_after: float | None = None


class Cloud(Protocol):
    """A module with these two functions."""

    def launch(self, claim: Claim, sku: Sku, observed: Observed, settings: Settings, now: datetime) -> Launch: ...

    def release(self, claim: Claim, observed: Observed, settings: Settings, now: datetime) -> Release: ...


def stage(claim: Claim, index: int, status: ConditionStatus, reason: str, message: str) -> Condition:
    """The condition of the claim's stage: 0 launched, 1 registered, 2 initialized."""
    return Condition(
        type=claim.stages[index],
        status=status,
        reason=reason,
        message=message,
        observed_generation=claim.metadata.generation,
    )
