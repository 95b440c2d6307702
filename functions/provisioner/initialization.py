"""The third stage of a claim: its node can be used. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from functions.provisioner.launch import stage
from kaito.api.claims import GPU, Claim
from kaito.api.meta import Condition
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object
from presets import Sku

#: What a new node has until its cluster has seen that it is Ready.
_NOT_READY: Final = "node.kubernetes.io/not-ready"


def initialized(claim: Claim, sku: Sku, nodes: Sequence[Object], registered: Condition) -> Condition:
    """It is Ready, offers the GPUs of its instance type, and has no taint of a node that is starting."""
    if registered.status != "True":
        return stage(claim, 2, "Unknown", "AwaitingRegistration", "the node has not registered yet")
    node = nodes[0]
    if not is_ready(node):
        return stage(claim, 2, "Unknown", "NodeNotReady", f"node {node['metadata']['name']} is not Ready")
    if gpus(node) < sku.gpus:
        return stage(claim, 2, "Unknown", "ResourceNotRegistered", f"the node does not offer {sku.gpus} {GPU} yet")
    if any(taint["key"] == _NOT_READY for taint in node.get("spec", {}).get("taints") or ()):
        return stage(claim, 2, "Unknown", "EphemeralTaints", f"node {node['metadata']['name']} is still tainted")
    return stage(claim, 2, "True", "Initialized", f"node {node['metadata']['name']} is Ready")
