"""The second stage of a claim: its node has joined the cluster. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from functions.provisioner.launch import stage
from kaito.api.claims import Claim
from kaito.api.meta import Condition
from kaito.api.resources import Object


def registered(claim: Claim, nodes: Sequence[Object]) -> Condition:
    """Exactly one node says that it is the claim's; several are a mistake that is told, never acted on."""
    if not nodes:
        return stage(claim, 1, "Unknown", "NodeNotFound", "the node has not registered yet")
    if len(nodes) > 1:
        names = ", ".join(sorted(node["metadata"]["name"] for node in nodes))
        return stage(claim, 1, "False", "MultipleNodesFound", f"several nodes say they are this claim's: {names}")
    return stage(claim, 1, "True", "Registered", f"node {nodes[0]['metadata']['name']} has joined")
