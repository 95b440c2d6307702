"""Which nodes a Workspace has, which of them count, and which claims it still needs. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from functions.workspace.work import Work
from kaito.api.claims import GPU, INSTANCE_TYPE, Claim, NodeRequest
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object
from kaito.api.workspace import ANNOTATION_BYPASS, LABEL_NAMESPACE, LABEL_WORKSPACE, Workspace
from presets import Sku, shortfall

#: MiB of one GPU, by NVIDIA's GPU feature discovery: what is left of its nominal size, some percent less.
GPU_MEMORY = "nvidia.com/gpu.memory"
RESERVED_MEMORY = 0.1
PASSING_TAINTS = ("karpenter.sh/unregistered", "node.cloudprovider.kubernetes.io/uninitialized")


@dataclass(frozen=True, slots=True)
class Nodes:
    """``ready``: the chosen nodes, at most ``count``; ``missing``: claims to make; ``going``: claims that are being
    deleted and whose place is still taken; ``obstacle``: what is awaited; ``released``: the claims are given up until
    the model is asked for, and it has no nodes until then."""

    ready: tuple[str, ...]
    missing: tuple[NodeRequest, ...]
    claims: tuple[Claim, ...]
    going: tuple[str, ...]
    obstacle: str
    released: bool = False


def claim_name(uid: str, slot: int) -> str:
    """``ws`` and nine hex digits: a legal AKS agent pool name, the same for the same Workspace and slot for ever."""
    return "ws" + hashlib.sha256(f"{uid}/{slot}".encode()).hexdigest()[:9]


def choose(
    workspace: Workspace,
    work: Work,
    claims: Sequence[Object],
    nodes: Sequence[Object],
    *,
    provisioned: bool,
    at_zero: bool = False,
) -> Nodes:
    """Preferred nodes first, then those in use already, then by name; claims for what nodes of others do not cover.

    No claims where nothing is ``provisioned``, or the Workspace names no instance type: people bring the nodes. No
    claims either while the model is ``at_zero``, and then it has no nodes, unless all are brought.
    """
    count = workspace.resource.count
    own = [Claim.of(obj) for obj in claims]
    live = [claim for claim in own if not claim.deleting]
    candidates = [node for node in nodes if not _of_another(node, workspace)]
    qualified = {_name(node): node for node in candidates if lack(node, workspace, work) is None}

    preferred, in_use = set(workspace.resource.preferred_nodes), set(workspace.status.worker_nodes)
    order = sorted(qualified, key=lambda name: (name not in preferred, name not in in_use, name))
    ready = tuple(sorted(order[:count]))

    claimed = {claim.status.node_name for claim in live} | {claim.metadata.name for claim in live}
    brought = [name for name in qualified if name not in claimed and not _ours(qualified[name], workspace)]
    asks = provisioned and workspace.resource.instance_type != ""
    if at_zero and asks and (live or len(brought) < count):
        return Nodes((), (), tuple(live), (), "", released=True)
    wanted = max(0, count - len(brought) - len(live)) if asks else 0
    taken = {claim.metadata.name for claim in own}
    free = [name for slot in range(count) if (name := claim_name(workspace.metadata.uid, slot)) not in taken]
    labels = {
        **workspace.resource.label_selector.labels(),
        LABEL_WORKSPACE: workspace.metadata.name,
        LABEL_NAMESPACE: workspace.metadata.namespace,
    }
    missing = tuple(
        NodeRequest(name, workspace.resource.instance_type, work.disk, labels, gpu=work.sku.gpus > 0)
        for name in free[:wanted]
    )
    going = tuple(claim.metadata.name for claim in own if claim.deleting)[: wanted - len(missing)]
    awaited = "no node has registered yet" if asks or live else _bring(workspace)
    return Nodes(ready, missing, tuple(live), going, _obstacle(workspace, work, live, candidates, qualified) or awaited)


def lack(node: Object, workspace: Workspace, work: Work) -> str | None:
    """Why this node, which has the labels, does not count yet; None if it does."""
    resource = workspace.resource
    meta = node["metadata"]
    instance_type = meta.get("labels", {}).get(INSTANCE_TYPE)
    preferred = meta["name"] in resource.preferred_nodes
    if meta.get("deletionTimestamp"):
        return "is being deleted"
    if resource.instance_type not in ("", instance_type) and not preferred:
        return f"has instance type {instance_type}, not {resource.instance_type}"
    if not is_ready(node):
        return "is not Ready"
    if taint := next((t["key"] for t in node.get("spec", {}).get("taints") or () if _passing(t)), None):
        return f"is still tainted {taint}"
    if gpus(node) < work.sku.gpus:
        return f"does not offer {work.sku.gpus} {GPU} yet: the device plugin has not reported its GPUs"
    return _too_little_memory(node, workspace, work) if resource.instance_type == "" else None


def _too_little_memory(node: Object, workspace: Workspace, work: Work) -> str | None:
    """Of a node that somebody brought, where GPU feature discovery has labelled it: the catalogue does not know it."""
    labels = node["metadata"].get("labels", {})
    if (
        work.model is None
        or work.needs is None
        or not labels.get(GPU_MEMORY, "").isdecimal()
        or ANNOTATION_BYPASS in workspace.metadata.annotations
    ):
        return None
    memory = gpus(node) * int(labels[GPU_MEMORY]) / 1024
    nominal = Sku(
        name=_name(node), provider="any", gpus=gpus(node), memory_gib=round(memory * (1 + RESERVED_MEMORY), 1)
    )
    lacking = shortfall(work.model.name, work.needs, nominal, workspace.resource.count)
    return f"is too small: {lacking}" if lacking else None


def _passing(taint: Object) -> bool:
    """A taint that says: not yet, or not now. Others, such as sku=gpu, are for the pod to tolerate."""
    key: str = taint["key"]
    early = key.startswith("node.kubernetes.io/") or key in PASSING_TAINTS
    return early and taint.get("effect") in ("NoSchedule", "NoExecute")


def _obstacle(
    workspace: Workspace,
    work: Work,
    live: Sequence[Claim],
    candidates: Sequence[Object],
    qualified: Mapping[str, Object],
) -> str:
    for node in candidates:
        if _name(node) not in qualified:
            return f"node {_name(node)} {lack(node, workspace, work)}"
    for claim in live:
        if claim.ready and claim.status.node_name not in qualified:
            name = claim.status.node_name
            return f"node {name} lost its labels: kubectl label node {name} {_labels(workspace)}"
    return ""


def _bring(workspace: Workspace) -> str:
    wanted = workspace.resource.instance_type
    bring = f"bring one of type {wanted}" if wanted else "bring one"
    return f"no provisioner is asked for nodes: {bring}, or label one: kubectl label node NODE {_labels(workspace)}"


def _labels(workspace: Workspace) -> str:
    """As kubectl label takes them."""
    return " ".join(f"{key}={value}" for key, value in workspace.resource.label_selector.labels().items())


def _ours(node: Object, workspace: Workspace) -> bool:
    labels = node["metadata"].get("labels", {})
    return (labels.get(LABEL_NAMESPACE), labels.get(LABEL_WORKSPACE)) == (
        workspace.metadata.namespace,
        workspace.metadata.name,
    )


def _of_another(node: Object, workspace: Workspace) -> bool:
    return LABEL_WORKSPACE in node["metadata"].get("labels", {}) and not _ours(node, workspace)


def _name(node: Object) -> str:
    name: str = node["metadata"]["name"]
    return name
