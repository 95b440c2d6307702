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

#: What a new node has until its cluster, its cloud and its provisioner have seen that it is Ready.
_EPHEMERAL: Final = frozenset(
    (
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.cloudprovider.kubernetes.io/uninitialized",
        "karpenter.sh/unregistered",
    )
)


def initialized(claim: Claim, sku: Sku, nodes: Sequence[Object], registered: Condition) -> Condition:
    """It is Ready, offers the GPUs of its instance type, and has no taint of a node that is starting."""
    if registered.status != "True":
        return stage(claim, 2, "Unknown", "AwaitingRegistration", "the node has not registered yet")
    node = nodes[0]
    if not is_ready(node):
        return stage(claim, 2, "Unknown", "NodeNotReady", f"node {node['metadata']['name']} is not Ready")
    if gpus(node) < sku.gpus:
        return stage(claim, 2, "Unknown", "ResourceNotRegistered", f"the node does not offer {sku.gpus} {GPU} yet")
    keys = [taint["key"] for taint in node.get("spec", {}).get("taints") or ()]
    if taints := [key for key in keys if key in _EPHEMERAL]:
        return stage(claim, 2, "Unknown", "EphemeralTaints", f"node {node['metadata']['name']} is tainted {taints[0]}")
    if taints := [key for key in keys if key in {taint.key for taint in claim.spec.startup_taints}]:
        said = f"node {node['metadata']['name']} is tainted {taints[0]}, until what it starts with is done"
        return stage(claim, 2, "Unknown", "StartupTaints", said)
    return stage(claim, 2, "True", "Initialized", f"node {node['metadata']['name']} is Ready")
