"""What a Node says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kaito.api.claims import GPU
from kaito.api.conditions import conditions_of, rfc3339
from kaito.api.resources import Object


def is_ready(node: Object) -> bool:
    """Has its kubelet reported that it takes pods?"""
    ready = conditions_of(node).get("Ready")
    return ready is not None and ready.status == "True"


def gpus(node: Object) -> int:
    """How many GPUs it offers to pods; 0 until the device plugin has reported them."""
    return int(((node.get("status") or {}).get("allocatable") or {}).get(GPU, 0))


def ready_status(offered: Mapping[str, str], reason: str, message: str, now: datetime) -> Object:
    """What a kubelet reports that takes pods and offers them this."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now),
    }
    return {"capacity": dict(offered), "allocatable": dict(offered), "conditions": [ready]}
