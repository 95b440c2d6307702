"""What would become of a Workspace, and what it waits for: its own decisions, asked and not carried out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from functions.workspace.observed import Observed
from functions.workspace.reconcile import reconcile
from functions.workspace.settings import Settings
from functions.workspace.status import SUMS, WRITE_REFUSED
from functions.workspace.work import ANEW
from kaito.api.claims import CLAIM_KINDS, GPU, INSTANCE_TYPE, Claim
from kaito.api.conditions import conditions_of, obstacle
from kaito.api.meta import Condition
from kaito.api.resources import KNATIVE_SERVICE, MACHINE, SERVICE, STATEFUL_SET, Kind, Object
from kaito.api.workspace import LABEL_WORKSPACE, Workspace
from kaito.runtime.plan import Apply, Plan
from presets import Catalogue

_CARRIERS = (KNATIVE_SERVICE, STATEFUL_SET, SERVICE)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``nodes``: those that are there and would be used; ``claims`` and ``carriers``: what would be applied, in this
    order, and is not as wanted already; ``waits``: for what, even then; ``refusal``: why it cannot be had."""

    nodes: tuple[str, ...]
    claims: tuple[Object, ...] = ()
    carriers: tuple[Object, ...] = ()
    waits: str = ""
    refusal: Condition | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``parts``: its conditions now, in the order in which they come true; ``obstacle``: the one that keeps it from
    being ready, None where it is; ``look``: commands that show more; ``behind``: its status says something else."""

    parts: tuple[Condition, ...]
    obstacle: Condition | None
    look: tuple[str, ...]
    behind: bool


def rehearse(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Rehearsal:
    """For a Workspace that is there or only meant to be: as if every node came up."""
    first = reconcile(observed, catalogue, settings, now)
    conditions = conditions_of({"status": _status(first, observed)}).values()
    failed = next((condition for condition in conditions if condition.status == "False"), None)
    if failed is not None:
        advice = failed.message.removesuffix(ANEW).rstrip()  # it may not be there yet
        return Rehearsal((), refusal=failed.model_copy(update={"message": advice}))
    claims = tuple(_applied(first, CLAIM_KINDS))
    pending = [claim for claim in observed.claims if not claim["metadata"].get("deletionTimestamp")]
    there = {node["metadata"]["name"] for node in observed.nodes}
    coming = [_node(claim, catalogue) for claim in (*pending, *claims)]
    nodes = (*observed.nodes, *(node for node in coming if node["metadata"]["name"] not in there))
    then = replace(observed, claims=(*observed.claims, *claims), nodes=nodes)
    second = reconcile(then, catalogue, settings, now)
    said = _status(second, then)
    resource = conditions_of({"status": said})["ResourceReady"]
    return Rehearsal(
        tuple(name for name in said.get("workerNodes") or () if name in there),
        claims,
        tuple(_applied(second, _CARRIERS)),
        "" if resource.status == "True" else resource.message,
    )


def explain(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Explanation:
    """For a Workspace that is there."""
    assert observed.workspace is not None
    workspace = Workspace.model_validate(observed.workspace)
    plan = reconcile(observed, catalogue, settings, now)
    said, found = conditions_of(observed.workspace), conditions_of({"status": _status(plan, observed)})
    parts = tuple(condition for kind, condition in found.items() if kind not in SUMS)
    deleting = found.get("WorkspaceDeleting")
    refused = said.get("WorkspaceReady")
    if deleting is not None:
        hindrance: Condition | None = deleting
    elif refused is not None and refused.reason == WRITE_REFUSED and any(_applied(plan, (*CLAIM_KINDS, *_CARRIERS))):
        hindrance = refused  # and would be again
    else:
        hindrance = obstacle(parts)
    behind = any(_gist(condition) != _gist(said.get(condition.type)) for condition in parts)
    return Explanation(parts, hindrance, _look(workspace, hindrance, settings), behind)


def _look(workspace: Workspace, hindrance: Condition | None, settings: Settings) -> tuple[str, ...]:
    if hindrance is None:
        return ()
    meta, kind = workspace.metadata, (settings.claim_kind or MACHINE).kind
    own = f"-l {LABEL_WORKSPACE}={meta.name}"
    nodes = ",".join(f"{key}={value}" for key, value in workspace.resource.label_selector.labels().items())
    claims = f"kubectl describe {kind.lower()} {own}"
    if hindrance.type == f"{kind}Ready":
        return (claims, "kubectl get ksvc kaito-provisioner -n kaito-system")
    if hindrance.type == "ResourceReady":
        return (claims, f"kubectl describe node -l {nodes}")
    if hindrance.type == "InferenceReady":
        return (
            f"kubectl describe ksvc {meta.name} -n {meta.namespace}",
            f"kubectl describe pod -n {meta.namespace} {own}",
            f"kubectl logs -n {meta.namespace} {own} -c model --tail=50",
        )
    return (f"kubectl describe workspace {meta.name} -n {meta.namespace}",)


def _gist(condition: Condition | None) -> tuple[str, str] | None:
    return (condition.status, condition.reason) if condition else None


def _applied(plan: Plan, kinds: Sequence[Kind]) -> Iterator[Object]:
    for effect in plan.effects:
        if isinstance(effect, Apply) and effect.subresource is None and Kind.of(effect.object) in kinds:
            yield effect.object


def _status(plan: Plan, observed: Observed) -> Object:
    """The status after the plan: the one it writes, or the one that says it all already."""
    assert observed.workspace is not None
    written = (it.object["status"] for it in plan.effects if isinstance(it, Apply) and it.subresource == "status")
    status: Object = next(written, observed.workspace.get("status") or {})
    return status


def _node(claim: Object, catalogue: Catalogue) -> Object:
    """The node of a claim once it is up, as a provisioner would make it."""
    found = Claim.of(claim)
    instance_type = next(iter(found.instance_types), "")
    sku = catalogue.sku(instance_type)
    return {
        "metadata": {
            "name": found.status.node_name or found.metadata.name,
            "labels": {**found.metadata.labels, INSTANCE_TYPE: instance_type},
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {GPU: str(sku.gpus if sku else 0)},
        },
    }
