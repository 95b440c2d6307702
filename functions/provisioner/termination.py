"""The end of a claim: nothing of it is left in the cloud, then it may go. Pure."""

from __future__ import annotations

from datetime import datetime

from functions.provisioner.announcements import removal
from functions.provisioner.launch import Release
from functions.provisioner.status import told_besides
from kaito.api.claims import TERMINATION_FINALIZER, Claim
from kaito.api.resources import Object
from kaito.runtime.plan import Plan, finalizer


def terminate(obj: Object, claim: Claim, released: Release, now: datetime) -> Plan:
    """The node first, then the finalizer."""
    if released.done:
        why = f"{claim.metadata.name} has no node left"
        gone = finalizer(obj, TERMINATION_FINALIZER, present=False, why=why)
        told = (removal(obj, claim, why, now),) if gone else ()
        return Plan((*released.effects, *told, *gone))
    status = told_besides(obj, claim, released.condition, now) if released.condition else ()
    return Plan((*released.effects, *status), released.requeue_after, settled=False)
