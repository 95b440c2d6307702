"""The Workspace's conditions: facts of what was observed, each with a reason a person can act on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from functions.workspace.idle import AT_ZERO, Rest, woken
from functions.workspace.nodes import Nodes
from kaito.api.conditions import conditions_of, obstacle, rfc3339
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.refusal import Refusal
from kaito.api.resources import STATEFUL_SET, Kind, Object
from kaito.api.workspace import Workspace, condition

#: What the tuning function says of a Workspace that tunes.
TUNING = ("tuning", "state", "JobStarted", "WorkspaceReady", "WorkspaceSucceeded")
#: Conditions that only sum up the others.
SUMS = ("WorkspaceReady", "WorkspaceSucceeded")
DEPLOYED = "the model is being deployed"
SERVING = "Serving"
#: The reason where the API server refuses what we write.
WRITE_REFUSED = "WriteRefused"
#: In the scheduler's messages, which Knative passes on as a failure at once, and takes back when a node is found.
UNSCHEDULABLE = ("nodes are available: ", "no nodes available to schedule pods")
UNSCHEDULED = "Unschedulable"
#: Why kubelet waits before it tries a container again, or does not try it at all.
FAILURES = frozenset(
    [
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    ]
)


@dataclass(frozen=True, slots=True)
class Carried:
    """``carrier``: what runs the model, None where that is not as wanted; ``pods``: a StatefulSet's that is not ready;
    ``balancer``: the Service of type LoadBalancer, where one is wanted; ``routed``: a Knative Service's Revision that
    may be at zero, and ``resting``: it is."""

    carrier: Object | None
    pods: Sequence[Object] = ()
    balancer: Object | None = None
    routed: Object | None = None
    resting: Rest | None = None


def conditions(workspace: Workspace, claim_kind: str, nodes: Nodes, it: Carried) -> tuple[Condition, ...]:
    """The conditions of a Workspace, in the order in which they come true; of one that tunes, its nodes' only."""
    claims = _claims_ready(workspace, f"{claim_kind}Ready", nodes)
    resource = _resource_ready(workspace, claims, nodes)
    if workspace.tuning:
        return (claims, resource)
    if it.carrier is None:
        inference = _not_deployed(workspace, resource)
    elif Kind.of(it.carrier) == STATEFUL_SET:
        inference = _gang_ready(workspace, resource, it.carrier, it.pods)
    else:
        inference = _service_ready(workspace, resource, it.carrier)
        if it.resting is not None:
            inference = _resting(inference, it.carrier, it.resting, nodes)
        elif inference.status == "True" and resource.status != "True" and woken(it.routed):
            waking = "a request has woken the model, which waits for its nodes"
            inference = condition(workspace, "InferenceReady", "Unknown", "WaitingForNodes", waking)
    if it.balancer is not None and inference.status == "True":
        inference = _balanced(inference, it.balancer)
    return (claims, resource, inference, *_overall(workspace, (claims, resource, inference)))


def impossible(workspace: Workspace, refusal: Refusal) -> tuple[Condition, ...]:
    """The conditions of a Workspace that cannot be had as it is."""
    resource = condition(workspace, "ResourceReady", "False", refusal.reason, refusal.message)
    if workspace.tuning:
        return (resource,)
    work = condition(workspace, "InferenceReady", "False", refusal.reason, refusal.message)
    return (resource, work, *_overall(workspace, (resource, work)))


def deleting(workspace: Workspace, left: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions while the Workspace goes; ``left`` names what has to go first."""
    message = f"waiting for {', '.join(left)} to go" if left else "everything of it is gone"
    going = condition(workspace, "WorkspaceDeleting", "True", "Deleting", message)
    return (going, condition(workspace, "WorkspaceReady", "False", "Deleting", message))


def write_refused(workspace: Workspace, before: Mapping[str, Condition], message: str) -> tuple[Condition, ...]:
    """What was known stays; the whole is not ready, in the API server's words. What sums a tuning up is not ours."""
    parts = tuple(c for kind, c in before.items() if kind not in (TUNING if workspace.tuning else SUMS))
    if workspace.tuning:
        refused = condition(workspace, "ResourceReady", "False", WRITE_REFUSED, message)
        return (*(part for part in parts if part.type != refused.type), refused)
    ready = condition(workspace, "WorkspaceReady", "False", WRITE_REFUSED, message)
    return (*parts, ready, ready.model_copy(update={"type": "WorkspaceSucceeded"}))


def url(carrier: Object | None) -> str:
    """Where the model answers: as Knative says, or at the cluster's own name for a StatefulSet's Service."""
    if carrier is None:
        return ""
    if Kind.of(carrier) == STATEFUL_SET:
        return f"http://{carrier['metadata']['name']}.{carrier['metadata']['namespace']}.svc"
    return str((carrier.get("status") or {}).get("url", ""))


def gang_is_ready(stateful_set: Object) -> bool:
    """Are all its pods ready, as it is now?"""
    status, meta = stateful_set.get("status") or {}, stateful_set["metadata"]
    current = status.get("observedGeneration") == meta.get("generation")
    return bool(current and status.get("readyReplicas", 0) == stateful_set["spec"]["replicas"])


def _claims_ready(workspace: Workspace, kind: str, nodes: Nodes) -> Condition:
    if nodes.released:
        return condition(workspace, kind, "True", "Released", "given back until the model is asked for")
    if nodes.missing:
        return condition(workspace, kind, "Unknown", "Provisioning", _not_taken(it.name for it in nodes.missing))
    waiting = [claim for claim in nodes.claims if not claim.ready]
    for claim in waiting:
        if (stage := claim.obstacle) is not None:
            return condition(workspace, kind, stage.status, stage.reason, f"{claim.metadata.name}: {stage.message}")
    if waiting:
        return condition(workspace, kind, "Unknown", "Provisioning", _not_taken(it.metadata.name for it in waiting))
    if nodes.going:
        names = ", ".join(nodes.going)
        return condition(workspace, kind, "Unknown", "Replacing", f"{names} has to go before it is replaced")
    if not nodes.claims:
        return condition(workspace, kind, "True", "NotNeeded", "no node has to be provisioned")
    return condition(workspace, kind, "True", "Provisioned", f"{len(nodes.claims)} provisioned")


def _not_taken(names: Iterable[str]) -> str:
    """Of claims that are there, or will be by when this is written."""
    return f"no provisioner has taken up {', '.join(sorted(names))} yet"


def _resource_ready(workspace: Workspace, claims: Condition, nodes: Nodes) -> Condition:
    if nodes.released:
        return condition(
            workspace, "ResourceReady", "True", "Released", "no node is needed until the model is asked for"
        )
    have, want = len(nodes.ready), workspace.resource.count
    if have == want:
        return condition(workspace, "ResourceReady", "True", "NodesReady", ", ".join(nodes.ready))
    so_far = f"{have} of {want} nodes ready"
    if claims.status == "False":
        return condition(workspace, "ResourceReady", "False", claims.reason, f"{so_far}; {claims.message}")
    reason = nodes.obstacle if claims.status == "True" else claims.message
    return condition(workspace, "ResourceReady", "Unknown", "WaitingForNodes", f"{so_far}; {reason}")


def _not_deployed(workspace: Workspace, resource: Condition) -> Condition:
    kind = "InferenceReady"
    if resource.status == "True":
        return condition(workspace, kind, "Unknown", "Deploying", DEPLOYED)
    return condition(workspace, kind, "Unknown", "WaitingForNodes", "the model is deployed once the nodes are ready")


def _service_ready(workspace: Workspace, resource: Condition, service: Object) -> Condition:
    kind = "InferenceReady"
    ready = conditions_of(service).get("Ready")
    current = (service.get("status") or {}).get("observedGeneration") == service["metadata"].get("generation")
    if ready is None or not current:
        return condition(workspace, kind, "Unknown", "Deploying", DEPLOYED)
    if ready.status == "True":
        return _serving(workspace, service)
    if ready.status == "False" and any(said in ready.message for said in UNSCHEDULABLE):
        return condition(workspace, kind, "Unknown", UNSCHEDULED, ready.message)
    if ready.status == "False" and resource.status == "Unknown":
        return condition(workspace, kind, "Unknown", "WaitingForNodes", f"its nodes are gone: {ready.message}")
    if ready.status == "False":
        return condition(workspace, kind, "False", ready.reason or "ServiceFailed", ready.message)
    return condition(workspace, kind, "Unknown", "Deploying", ready.message or DEPLOYED)


def _resting(inference: Condition, service: Object, resting: Rest, nodes: Nodes) -> Condition:
    """At zero Knative's Ready stays as it was last: True, or what a pod lacked that is wanted no more."""
    if inference.status != "True" and inference.reason != UNSCHEDULED:
        return inference
    wakes = f"{resting}; a request to {url(service)}/chat wakes it"
    if nodes.released:
        wakes += ", and its nodes first"
    elif nodes.claims:
        wakes += f"; its nodes are kept until {rfc3339(resting.until)}"
    return inference.model_copy(update={"status": "True", "reason": AT_ZERO, "message": wakes})


def _gang_ready(workspace: Workspace, resource: Condition, stateful_set: Object, pods: Sequence[Object]) -> Condition:
    """Of a StatefulSet, which does not say why its pods are not ready."""
    kind, count = "InferenceReady", stateful_set["spec"]["replicas"]
    if gang_is_ready(stateful_set):
        return _serving(workspace, stateful_set)
    if resource.status != "True":
        return condition(workspace, kind, "Unknown", "WaitingForNodes", "the model is served once the nodes are ready")
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        if (trouble := _trouble(pod)) is not None:
            return condition(workspace, kind, *trouble)
    have = (stateful_set.get("status") or {}).get("readyReplicas", 0)
    return condition(workspace, kind, "Unknown", "Deploying", f"{have} of {count} pods are ready")


def _trouble(pod: Object) -> tuple[ConditionStatus, str, str] | None:
    """Why a pod cannot become ready: kubelet's and the scheduler's words. What passes by itself is Unknown."""
    name = pod["metadata"]["name"]
    scheduled = conditions_of(pod).get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return "Unknown", scheduled.reason, f"{name}: {scheduled.message}"
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in FAILURES:
            last = (container.get("lastState") or {}).get("terminated") or {}
            said = last.get("message") or waiting.get("message") or f"exit code {last.get('exitCode')}"
            return "False", waiting["reason"], f"{name}: {said.strip()}"
    return None


def _serving(workspace: Workspace, carrier: Object) -> Condition:
    return condition(workspace, "InferenceReady", "True", SERVING, f"answers at {url(carrier)}/chat")


def _balanced(serving: Condition, balancer: Object) -> Condition:
    """That the cloud has not given an address yet keeps nobody from the model."""
    given = ((balancer.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    hosts = [entry.get("ip") or entry.get("hostname") for entry in given]
    where = f"at {', '.join(f'http://{host}/chat' for host in hosts)}" if hosts else "soon at a load balancer"
    return serving.model_copy(update={"message": f"{serving.message}, and {where}"})


def _overall(workspace: Workspace, parts: Sequence[Condition]) -> tuple[Condition, Condition]:
    """Ready when every part is; else the first part that failed, or else the first that is awaited."""
    worst = obstacle(parts)
    ready = (
        condition(workspace, "WorkspaceReady", "True", "WorkspaceReady", parts[-1].message)
        if worst is None
        else condition(workspace, "WorkspaceReady", worst.status, worst.reason, f"{worst.type}: {worst.message}")
    )
    return (ready, ready.model_copy(update={"type": "WorkspaceSucceeded"}))
