"""What a Node says of itself."""

from __future__ import annotations

from kaito.api.claims import GPU
from kaito.api.conditions import conditions_of
from kaito.api.resources import Object


def is_ready(node: Object) -> bool:
    """Has its kubelet reported that it takes pods?"""
    ready = conditions_of(node).get("Ready")
    return ready is not None and ready.status == "True"


def gpus(node: Object) -> int:
    """How many GPUs it offers to pods; 0 until the device plugin has reported them."""
    return int(((node.get("status") or {}).get("allocatable") or {}).get(GPU, 0))
