"""What to do about a claim: finalizer, launch, registration, initialization, termination. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from functions.provisioner import adopted, local
from functions.provisioner.launch import Cloud, stage
from functions.provisioner.local import provider_id
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import GPU, TERMINATION_FINALIZER, Claim
from kaito.api.conditions import obstacle
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import Object
from kaito.api.workspace import LABEL_WORKSPACE
from kaito.runtime.plan import Effect, Plan, finalizer
from kaito.runtime.report import report
from presets import Catalogue, Sku

NAME = "kaito-provisioner"
#: What a new node has until its cluster has seen that it is Ready.
NOT_READY = "node.kubernetes.io/not-ready"


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """One step further towards a node that is Ready, or towards nothing being left."""
    obj = observed.claim
    if obj is None:
        return Plan()
    claim = Claim.of(obj)
    if not _is_ours(claim, observed.nodes):
        return Plan()  # for somebody else's provisioner
    cloud: Cloud = adopted if settings.adopts else local
    if claim.deleting:
        return _terminate(obj, claim, cloud, observed.nodes)
    sku = _sku(claim, catalogue)
    if sku is None:
        launched = stage(claim, 0, "False", "InstanceTypeUnknown", _unknown(claim))
        return Plan(_status(obj, claim, (launched,), {}, now))

    launch = cloud.launch(claim, sku, observed, settings, now)
    registered = _registered(claim, launch.nodes)
    initialized = _initialized(claim, sku, launch.nodes, registered)
    facts = dict(launch.facts)
    if registered.status == "True":
        facts["nodeName"] = launch.nodes[0]["metadata"]["name"]
        facts["allocatable"] = launch.nodes[0]["status"].get("allocatable", {})
    effects = (
        *finalizer(obj, TERMINATION_FINALIZER, present=True, why="its node must go with it"),
        *launch.effects,
        *_status(obj, claim, (launch.condition, registered, initialized), facts, now),
    )
    return Plan(effects, requeue_after=launch.requeue_after, settled=initialized.status == "True")


def refused(observed: Observed, message: str, now: datetime) -> Plan:
    """The API server refused a write of the plan for good: its words are for the claim's status."""
    obj = observed.claim
    if obj is None:
        return Plan(settled=False)
    claim = Claim.of(obj)
    stages = [claim.conditions[name] for name in claim.stages if name in claim.conditions]
    kept: Object = {key: value for key, value in (obj.get("status") or {}).items() if key != "conditions"}
    failed = stage(claim, len(stages) - 1 if stages else 0, "False", "WriteRefused", message)
    return Plan(_status(obj, claim, (*stages[:-1], failed), kept, now), settled=False)


def _is_ours(claim: Claim, nodes: Sequence[Object]) -> bool:
    """Also where the claim has lost its labels since: what was done for it has to be undone."""
    return LABEL_WORKSPACE in claim.metadata.labels or bool(nodes) or claim.status.provider_id == provider_id(claim)


def _sku(claim: Claim, catalogue: Catalogue) -> Sku | None:
    """The first instance type asked for that we know."""
    return next((sku for name in claim.instance_types if (sku := catalogue.sku(name))), None)


def _unknown(claim: Claim) -> str:
    asked = ", ".join(claim.instance_types) or "none"
    return f"the claim names no instance type that the catalogue has (operator In): {asked}"


def _registered(claim: Claim, nodes: Sequence[Object]) -> Condition:
    if not nodes:
        return stage(claim, 1, "Unknown", "NodeNotFound", "the node has not registered yet")
    if len(nodes) > 1:
        names = ", ".join(sorted(node["metadata"]["name"] for node in nodes))
        return stage(claim, 1, "False", "MultipleNodesFound", f"several nodes say they are this claim's: {names}")
    return stage(claim, 1, "True", "Registered", f"node {nodes[0]['metadata']['name']} has joined")


def _initialized(claim: Claim, sku: Sku, nodes: Sequence[Object], registered: Condition) -> Condition:
    if registered.status != "True":
        return stage(claim, 2, "Unknown", "AwaitingRegistration", "the node has not registered yet")
    node = nodes[0]
    if not is_ready(node):
        return stage(claim, 2, "Unknown", "NodeNotReady", f"node {node['metadata']['name']} is not Ready")
    if gpus(node) < sku.gpus:
        return stage(claim, 2, "Unknown", "ResourceNotRegistered", f"the node does not offer {sku.gpus} {GPU} yet")
    if any(taint["key"] == NOT_READY for taint in node.get("spec", {}).get("taints") or ()):
        return stage(claim, 2, "Unknown", "EphemeralTaints", f"node {node['metadata']['name']} is still tainted")
    return stage(claim, 2, "True", "Initialized", f"node {node['metadata']['name']} is Ready")


def _terminate(obj: Object, claim: Claim, cloud: Cloud, nodes: tuple[Object, ...]) -> Plan:
    """The node first, then the finalizer."""
    released = cloud.release(claim, nodes)
    if not released.done:
        return Plan(released.effects, settled=False)
    gone = finalizer(obj, TERMINATION_FINALIZER, present=False, why=f"{claim.metadata.name} has no node left")
    return Plan((*released.effects, *gone))


def _status(obj: Object, claim: Claim, found: Sequence[Condition], facts: Object, now: datetime) -> tuple[Effect, ...]:
    """The stages and what they add up to, with the Events of their transitions; nothing where it is said already."""
    worst = obstacle(found)
    meaning: tuple[ConditionStatus, str, str] = (
        (worst.status, worst.reason, worst.message) if worst else ("True", "Ready", found[-1].message)
    )
    ready = Condition(
        type="Ready",
        status=meaning[0],
        reason=meaning[1],
        message=meaning[2],
        observed_generation=claim.metadata.generation,
    )
    return report(obj, (*found, ready), facts, sums=("Ready",), function=NAME, now=now)
