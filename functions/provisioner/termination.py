"""The end of a claim: nothing of it is left in the cloud, then it may go. Pure."""

from __future__ import annotations

from datetime import datetime

from functions.provisioner.launch import Release
from functions.provisioner.status import told_besides
from kaito.api.claims import TERMINATION_FINALIZER, Claim
from kaito.api.resources import Object
from kaito.runtime.plan import Plan, finalizer


def terminate(obj: Object, claim: Claim, released: Release, now: datetime) -> Plan:
    """The node first, then the finalizer."""
    if released.done:
        gone = finalizer(obj, TERMINATION_FINALIZER, present=False, why=f"{claim.metadata.name} has no node left")
        return Plan((*released.effects, *gone))
    told = told_besides(obj, claim, released.condition, now) if released.condition else ()
    return Plan((*released.effects, *told), released.requeue_after, settled=False)
