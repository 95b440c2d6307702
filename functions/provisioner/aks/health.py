"""When a node that has joined is given up, and what holds that back. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from functions.provisioner.aks.failure import Cause, Failure
from kaito.api.claims import GPU
from kaito.api.conditions import conditions_of, parse_time
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object

#: Of a node: it could be used once. Karpenter's own.
LABEL_INITIALIZED: Final = "karpenter.sh/initialized"
#: The breaker: where more of our nodes than this share are lost or not Ready (rounded up, so that a lone one may be
#: replaced), it is the network or the API server, and new machines would not help.
MOST: Final = 0.2
#: Seconds until looking again while it is so.
_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Wait:
    """It may come to giving the node up in so many seconds; ``why`` it has not yet, where that is worth telling."""

    seconds: float
    why: str = ""


HELD_BACK: Final = Wait(_PAUSE, f"not replaced while over {MOST:.0%} of KAITO's nodes are lost or not Ready")


def held_back(others: Sequence[Object], missing: int) -> bool:
    """Does the breaker hold back that one node is replaced? ``others`` are the rest of our nodes; ``missing``: how many
    more there should be."""
    sick = 1 + missing + sum(not is_ready(other) for other in others)
    return sick > math.ceil(MOST * (1 + missing + len(others)))


def unhealthy(
    node: Object, others: Sequence[Object], missing: int, after: float, now: datetime
) -> Failure | Wait | None:
    """Why to give the node up; else until when it may come to that, None where it is Ready.

    ``after``: the seconds that a node may be not Ready.
    """
    if is_ready(node) or math.isinf(after):
        return None
    ready = conditions_of(node).get("Ready")
    if ready is None:  # its kubelet has not reported yet
        return None
    lasted = (now - parse_time(ready.last_transition_time)).total_seconds()
    if lasted < after:
        return Wait(after - lasted)
    if held_back(others, missing):
        return HELD_BACK
    why = ready.message or ready.reason or f"Ready is {ready.status}"
    name = node["metadata"]["name"]
    return Failure(
        Cause.UNHEALTHY, "NodeUnhealthy", f"node {name} has not been Ready for {lasted / 60:.0f} minutes: {why}"
    )


def unequipped(node: Object, expected: int, waited: float, deadline: float) -> Failure | Wait | None:
    """Why to give up a node whose GPUs have never come; else until when it comes to that, None where they have.

    ``waited``: seconds since it joined. A node that had its GPUs once is left: its machine has them.
    """
    labels = node["metadata"].get("labels") or {}
    if gpus(node) >= expected or LABEL_INITIALIZED in labels or not is_ready(node):
        return None
    if waited < deadline:
        return Wait(deadline - waited)
    said = f"node {node['metadata']['name']} offers {gpus(node)} of {expected} {GPU} {waited / 60:.0f} minutes after it"
    todo = "does NVIDIA's device plugin run on it, and does its image have the driver?"
    return Failure(Cause.REFUSED, "ResourceNotRegistered", f"{said} joined: {todo}")
