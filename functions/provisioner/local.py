"""The local cloud that creates: a node is a Node object that appears a while after it was asked for. Pure.

It stands in for a cloud where there is none: the embedded platform. Behind its Nodes there is no machine and no
kubelet, and they say so; what is real is everything that is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from functions.provisioner.launch import Launch, Release, stage
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import GPU, LABEL_CLAIM, Claim
from kaito.api.conditions import parse_time
from kaito.api.nodes import ready_status
from kaito.api.resources import NODE, Object
from kaito.api.status import controller_reference
from kaito.runtime.plan import Apply, Delete, Effect, holds
from presets import Sku

PODS = "110"


def launch(claim: Claim, sku: Sku, observed: Observed, settings: Settings, now: datetime) -> Launch:
    """Asked for with its claim; it boots for a while, then its Node is there."""
    condition = stage(claim, 0, "True", "Launched", f"{sku.name} asked for from the local cloud")
    assert claim.metadata.creation_timestamp is not None
    # Whole seconds: at the end of the one that it was made in.
    since = parse_time(claim.metadata.creation_timestamp) + timedelta(seconds=1)
    remaining = (since + timedelta(seconds=settings.boot_seconds) - now).total_seconds()
    booting = not observed.nodes and remaining > 0
    return Launch(
        condition,
        observed.nodes,
        effects=() if booting else tuple(_boot(claim, sku, observed.nodes, now)),
        facts={"providerID": provider_id(claim), "capacity": capacity(claim, sku)},
        requeue_after=remaining if booting else None,
    )


def release(claim: Claim, observed: Observed, settings: Settings, now: datetime) -> Release:  # noqa: ARG001
    """Delete them; one that is already going is waited for."""
    effects = tuple(
        Delete(NODE, node["metadata"]["name"], "", node["metadata"]["uid"], f"its claim {claim.metadata.name} goes")
        for node in observed.nodes
        if not node["metadata"].get("deletionTimestamp")
    )
    return Release(effects, done=not observed.nodes)


def _boot(claim: Claim, sku: Sku, nodes: Sequence[Object], now: datetime) -> Iterator[Effect]:
    """What its kubelet would write next: the Node with its status, or what a Node has lost of them."""
    if not nodes:
        yield Apply({**node(claim), "status": node_status(claim, sku, now)["status"]}, "it has booted")
    elif len(nodes) == 1 and not reported(nodes[0]):
        yield Apply(node_status(claim, sku, now), "its kubelet reports", subresource="status")
    elif len(nodes) == 1 and not holds(claim.metadata.labels, nodes[0]["metadata"].get("labels")):
        yield Apply(node(claim), "it lost labels of its claim")


def provider_id(claim: Claim) -> str:
    return f"local:///{claim.metadata.name}"


def capacity(claim: Claim, sku: Sku) -> dict[str, str]:
    """What a node of this instance type offers, as far as anybody asks for it."""
    requests = {name: str(quantity) for name, quantity in claim.spec.resources.requests.items()}
    disk = requests.get("ephemeral-storage") or requests.get("storage")
    return {
        "pods": PODS,
        **({"ephemeral-storage": disk} if disk else {}),
        **({GPU: str(sku.gpus)} if sku.gpus else {}),
    }


def node(claim: Claim) -> Object:
    """The Node as its kubelet would register it: labels and taints of the claim, owned by it."""
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.kind,
        "metadata": {
            "name": claim.metadata.name,
            "labels": {
                **claim.metadata.labels,
                LABEL_CLAIM: claim.metadata.name,
                "kubernetes.io/hostname": claim.metadata.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "karpenter.sh/registered": "true",
            },
            "ownerReferences": [controller_reference(claim.kind, claim.metadata)],
        },
        "spec": {
            "providerID": provider_id(claim),
            "taints": [taint.model_dump(by_alias=True) for taint in claim.spec.taints],
        },
    }


def reported(node: Object) -> bool:
    """Has its kubelet said anything yet?"""
    return any(condition["type"] == "Ready" for condition in (node.get("status") or {}).get("conditions") or ())


def node_status(claim: Claim, sku: Sku, now: datetime) -> Object:
    """The status its kubelet would report."""
    message = "registered by the local cloud: no machine and no kubelet behind it"
    return {
        "apiVersion": NODE.api_version,
        "kind": NODE.kind,
        "metadata": {"name": claim.metadata.name},
        "status": ready_status(capacity(claim, sku), "LocalCloud", message, now),
    }
