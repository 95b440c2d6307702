"""The local cloud that labels: a claim is given a node that the cluster has already. Pure.

For a cluster of one's own (kind, minikube, `make cluster`). A node is lent, not owned: it gets the claim's labels and
loses them when the claim goes, by server-side apply, so that what others set stays theirs. Nothing else of it is
written: no ownerReference (the node would be deleted with its claim) and no taint (other pods, the functions' own among
them, live there too). A node has one claim at a time: taking it names the version that was seen as free, so that of
two claims that want it one is refused and looks again.

A label that the node has with another value says that it is something else, e.g. another instance type set by its
kubelet, which would set it again: such a node is left alone, and the claim says which label it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from functions.provisioner.launch import Launch, Release, stage
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import GPU, LABEL_CLAIM, Claim
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import NODE, Object
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE
from kaito.runtime.plan import Apply, Effect, holds
from presets import Sku

REPELLING = ("NoSchedule", "NoExecute")
#: Nodes that a message names one by one.
NAMED = 5


def launch(claim: Claim, sku: Sku, observed: Observed, settings: Settings, now: datetime) -> Launch:  # noqa: ARG001
    """The node it has, else the one that suits it best of those that are free: the last one, the fewest GPUs."""
    if observed.nodes:
        return _launched(claim, observed.nodes, tuple(_restore(claim, observed.nodes)))
    why_not = {_name(node): lack(claim, sku, node) for node in observed.others}
    free = [node for node in observed.others if why_not[_name(node)] is None]
    if not free:
        return Launch(stage(claim, 0, "False", "InsufficientCapacity", _none_free(sku, why_not)), ())
    node = min(free, key=lambda node: (_name(node) != claim.status.node_name, gpus(node), _name(node)))
    return _launched(claim, (node,), (Apply(_with(node, labels(claim)), f"free: taken for {claim.metadata.name}"),))


def release(claim: Claim, observed: Observed, settings: Settings, now: datetime) -> Release:  # noqa: ARG001
    """Its labels go; the nodes stay. An apply without them takes away what an earlier one brought."""
    why = f"its claim {claim.metadata.name} goes"
    return Release(tuple(Apply(_with(node, {}), why) for node in observed.nodes), done=True)


def labels(claim: Claim) -> dict[str, str]:
    """What a node of this claim is labelled with."""
    return {**claim.metadata.labels, LABEL_CLAIM: claim.metadata.name}


def lack(claim: Claim, sku: Sku, node: Object) -> str | None:
    """Why this node cannot be given to the claim; None if it can."""
    found: dict[str, str] = node["metadata"].get("labels") or {}
    if LABEL_CLAIM in found:
        whose = f"{found.get(LABEL_NAMESPACE)}/{found.get(LABEL_WORKSPACE)}"
        return f"is taken by claim {found[LABEL_CLAIM]} of Workspace {whose}"
    if node["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    for key, value in labels(claim).items():
        if found.get(key, value) != value:
            return f"has the label {key}={found[key]}, not {value}"
    if not is_ready(node):
        return "is not Ready"
    spec = node.get("spec", {})
    if spec.get("unschedulable"):
        return "is cordoned"
    if taint := next((taint for taint in spec.get("taints") or () if _repels(taint, claim, sku)), None):
        return f"is tainted {taint['key']}:{taint['effect']}"
    if gpus(node) < sku.gpus:
        return f"offers {gpus(node)} of {sku.gpus} {GPU}"
    return None


def _repels(taint: Object, claim: Claim, sku: Sku) -> bool:
    """Would it keep the claim's pods away? They tolerate the taints of GPU nodes."""
    tolerated = {own.key for own in claim.spec.taints} | ({GPU} if sku.gpus else set())
    return taint.get("effect") in REPELLING and taint["key"] not in tolerated


def _launched(claim: Claim, nodes: tuple[Object, ...], effects: tuple[Effect, ...]) -> Launch:
    node = nodes[0]
    return Launch(
        stage(claim, 0, "True", "Launched", f"given node {_name(node)}, which the cluster has already"),
        nodes,
        effects,
        facts={
            "providerID": node.get("spec", {}).get("providerID") or f"local:///{_name(node)}",
            "capacity": (node.get("status") or {}).get("capacity") or {},
        },
    )


def _restore(claim: Claim, nodes: Sequence[Object]) -> Iterator[Effect]:
    if len(nodes) == 1 and not holds(labels(claim), nodes[0]["metadata"].get("labels")):
        yield Apply(_with(nodes[0], labels(claim)), "it lost labels of its claim")


def _none_free(sku: Sku, why_not: dict[str, str | None]) -> str:
    if not why_not:
        return f"the cluster has no node to give for {sku.name}: add one"
    said = [f"{name} {why}" for name, why in sorted(why_not.items())]
    more = [f"{len(said) - NAMED} more"] if len(said) > NAMED else []
    return (
        f"no node can be given for {sku.name}: {'; '.join(said[:NAMED] + more)}."
        " Add a node, or free one: delete the Workspace that has it, uncordon or untaint it"
    )


def _with(node: Object, wanted: dict[str, str]) -> Object:
    """These and no other labels of ours, on that very node as it was seen."""
    meta = {key: node["metadata"][key] for key in ("name", "uid", "resourceVersion")}
    return {"apiVersion": NODE.api_version, "kind": NODE.kind, "metadata": {**meta, "labels": wanted}}


def _name(node: Object) -> str:
    name: str = node["metadata"]["name"]
    return name
