"""The Workspace's conditions: facts of what was observed, each with a reason a person can act on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from functions.workspace.nodes import Nodes
from kaito.api.conditions import conditions_of, obstacle
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.resources import Object
from kaito.api.workspace import Workspace

#: The reason where the API server refuses what we write.
WRITE_REFUSED = "WriteRefused"
#: In the scheduler's message, which Knative passes on as a failure at once, and takes back when a node is found.
UNSCHEDULABLE = "nodes are available: "


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the Workspace asks for and cannot have: only its author can help."""

    reason: str
    message: str


def conditions(workspace: Workspace, claim_kind: str, nodes: Nodes, service: Object | None) -> tuple[Condition, ...]:
    """The conditions of a Workspace that serves a preset, in the order in which they come true."""
    claims = _claims_ready(workspace, f"{claim_kind}Ready", nodes)
    resource = _resource_ready(workspace, claims, nodes)
    inference = _inference_ready(workspace, resource, service)
    return (claims, resource, inference, *_overall(workspace, (claims, resource, inference)))


def impossible(workspace: Workspace, refusal: Refusal) -> tuple[Condition, ...]:
    """The conditions of a Workspace that cannot be had as it is."""
    resource = _condition(workspace, "ResourceReady", "False", refusal.reason, refusal.message)
    kind = "JobStarted" if workspace.tuning else "InferenceReady"
    work = _condition(workspace, kind, "False", refusal.reason, refusal.message)
    return (resource, work, *_overall(workspace, (resource, work)))


def deleting(workspace: Workspace, left: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions while the Workspace goes; ``left`` names what has to go first."""
    message = f"waiting for {', '.join(left)} to go" if left else "everything of it is gone"
    going = _condition(workspace, "WorkspaceDeleting", "True", "Deleting", message)
    return (going, _condition(workspace, "WorkspaceReady", "False", "Deleting", message))


def write_refused(workspace: Workspace, before: Mapping[str, Condition], message: str) -> tuple[Condition, ...]:
    """What was known stays; the whole is not ready, in the API server's words."""
    parts = tuple(c for kind, c in before.items() if kind not in ("WorkspaceReady", "WorkspaceSucceeded"))
    ready = _condition(workspace, "WorkspaceReady", "False", WRITE_REFUSED, message)
    return (*parts, ready, ready.model_copy(update={"type": "WorkspaceSucceeded"}))


def url(service: Object | None) -> str:
    return str(((service or {}).get("status") or {}).get("url", ""))


def _claims_ready(workspace: Workspace, kind: str, nodes: Nodes) -> Condition:
    if nodes.missing:
        names = ", ".join(request.name for request in nodes.missing)
        return _condition(
            workspace, kind, "Unknown", "Creating", f"asking for {workspace.resource.instance_type}: {names}"
        )
    waiting = [claim for claim in nodes.claims if not claim.ready]
    for claim in waiting:
        if (stage := claim.obstacle) is not None:
            return _condition(workspace, kind, stage.status, stage.reason, f"{claim.metadata.name}: {stage.message}")
    if waiting:
        names = ", ".join(claim.metadata.name for claim in waiting)
        return _condition(workspace, kind, "Unknown", "Provisioning", f"no provisioner has taken up {names} yet")
    if nodes.going:
        names = ", ".join(nodes.going)
        return _condition(workspace, kind, "Unknown", "Replacing", f"{names} has to go before it is replaced")
    if not nodes.claims:
        return _condition(workspace, kind, "True", "NotNeeded", "no node has to be provisioned")
    return _condition(workspace, kind, "True", "Provisioned", f"{len(nodes.claims)} provisioned")


def _resource_ready(workspace: Workspace, claims: Condition, nodes: Nodes) -> Condition:
    have, want = len(nodes.ready), workspace.resource.count
    if have == want:
        return _condition(workspace, "ResourceReady", "True", "NodesReady", ", ".join(nodes.ready))
    so_far = f"{have} of {want} nodes ready"
    if claims.status == "False":
        return _condition(workspace, "ResourceReady", "False", claims.reason, f"{so_far}; {claims.message}")
    reason = nodes.obstacle if claims.status == "True" else claims.message
    return _condition(workspace, "ResourceReady", "Unknown", "WaitingForNodes", f"{so_far}; {reason}")


def _inference_ready(workspace: Workspace, resource: Condition, service: Object | None) -> Condition:
    kind = "InferenceReady"
    if service is None:
        if resource.status == "True":
            return _condition(workspace, kind, "Unknown", "Deploying", "creating the Knative Service")
        return _condition(
            workspace, kind, "Unknown", "WaitingForNodes", "the model is deployed once the nodes are ready"
        )
    ready = conditions_of(service).get("Ready")
    current = (service.get("status") or {}).get("observedGeneration") == service["metadata"].get("generation")
    if ready is None or not current:
        return _condition(workspace, kind, "Unknown", "Deploying", "Knative has not reported on the Service yet")
    if ready.status == "True":
        return _condition(workspace, kind, "True", "Serving", f"answers at {url(service)}/chat")
    if ready.status == "False" and UNSCHEDULABLE in ready.message:
        return _condition(workspace, kind, "Unknown", "Unschedulable", ready.message)
    if ready.status == "False" and resource.status == "Unknown":
        return _condition(workspace, kind, "Unknown", "WaitingForNodes", f"its nodes are gone: {ready.message}")
    if ready.status == "False":
        return _condition(workspace, kind, "False", ready.reason or "ServiceFailed", ready.message)
    return _condition(workspace, kind, "Unknown", "Deploying", ready.message or "the model is starting")


def _overall(workspace: Workspace, parts: Sequence[Condition]) -> tuple[Condition, Condition]:
    """Ready when every part is; else the first part that failed, or else the first that is awaited."""
    worst = obstacle(parts)
    ready = (
        _condition(workspace, "WorkspaceReady", "True", "WorkspaceReady", parts[-1].message)
        if worst is None
        else _condition(workspace, "WorkspaceReady", worst.status, worst.reason, f"{worst.type}: {worst.message}")
    )
    return (ready, ready.model_copy(update={"type": "WorkspaceSucceeded"}))


def _condition(workspace: Workspace, kind: str, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=workspace.metadata.generation,
    )
