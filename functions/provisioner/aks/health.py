"""When a node that has joined is given up: long not Ready, and only while most others are. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from functions.provisioner.aks.failure import Cause, Failure
from kaito.api.conditions import conditions_of, parse_time
from kaito.api.nodes import is_ready
from kaito.api.resources import Object

#: The breaker: where more of our nodes than this share are not Ready (rounded up, so that a lone one may be replaced),
#: it is the network or the API server, and new machines would not help.
MOST: Final = 0.2
#: Seconds until looking again while it is so.
_PAUSE: Final = 60.0


def unhealthy(node: Object, others: Sequence[Object], after: float, now: datetime) -> Failure | float | None:
    """Why to give the node up; else the seconds until it may come to that, None where it is Ready.

    ``others`` are the rest of our nodes; ``after`` the seconds that a node may be not Ready.
    """
    if is_ready(node) or math.isinf(after):
        return None
    ready = conditions_of(node).get("Ready")
    if ready is None:  # its kubelet has not reported yet
        return None
    lasted = (now - parse_time(ready.last_transition_time)).total_seconds()
    if lasted < after:
        return after - lasted
    sick = 1 + sum(not is_ready(other) for other in others)
    if sick > math.ceil(MOST * (1 + len(others))):
        return _PAUSE
    why = ready.message or ready.reason or f"Ready is {ready.status}"
    name = node["metadata"]["name"]
    return Failure(
        Cause.UNHEALTHY, "NodeUnhealthy", f"node {name} has not been Ready for {lasted / 60:.0f} minutes: {why}"
    )
