"""What to do about a claim: finalizer, launch, registration, initialization, termination. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from functions.provisioner import local
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import GPU, TERMINATION_FINALIZER, Claim
from kaito.api.conditions import obstacle, parse_time
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.nodes import gpus, is_ready
from kaito.api.resources import NODE, Object
from kaito.api.workspace import LABEL_WORKSPACE
from kaito.runtime.plan import Apply, Delete, Effect, Plan, finalizer, holds
from kaito.runtime.report import report
from presets import Catalogue, Sku

NAME = "kaito-provisioner"


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """One step further towards a node that is Ready, or towards nothing being left."""
    obj = observed.claim
    if obj is None:
        return Plan()
    claim = Claim.of(obj)
    if LABEL_WORKSPACE not in claim.metadata.labels and claim.status.provider_id != local.provider_id(claim):
        return Plan()  # somebody else's claim, for somebody else's provisioner
    if claim.deleting:
        return _terminate(obj, claim, observed.nodes)
    sku = _sku(claim, catalogue)
    if sku is None:
        launched = _condition(claim, 0, "False", "InstanceTypeUnknown", _unknown(claim))
        return Plan(_status(obj, claim, (launched,), {}, now))

    effects: list[Effect] = [*finalizer(obj, TERMINATION_FINALIZER, present=True, why="its node must go with it")]
    launched = _condition(claim, 0, "True", "Launched", f"{sku.name} asked for from the local cloud")
    before = claim.conditions.get(launched.type)
    since = parse_time(before.last_transition_time) if before and before.status == "True" else now
    remaining = (since + timedelta(seconds=settings.boot_seconds) - now).total_seconds()
    registered = _registered(claim, observed.nodes)
    if remaining <= 0 or observed.nodes:
        effects += _boot(claim, sku, observed.nodes, now)
    initialized = _initialized(claim, sku, observed.nodes, registered)
    facts: Object = {"providerID": local.provider_id(claim), "capacity": local.capacity(claim, sku)}
    if registered.status == "True":
        facts["nodeName"] = observed.nodes[0]["metadata"]["name"]
        facts["allocatable"] = observed.nodes[0]["status"].get("allocatable", {})
    found = (launched, registered, initialized)
    effects += _status(obj, claim, found, facts, now)
    settled = initialized.status == "True"
    booting = not observed.nodes and remaining > 0
    return Plan(tuple(effects), requeue_after=remaining if booting else None, settled=settled)


def refused(observed: Observed, message: str, now: datetime) -> Plan:
    """The API server refused a write of the plan for good: its words are for the claim's status."""
    obj = observed.claim
    if obj is None:
        return Plan(settled=False)
    claim = Claim.of(obj)
    stages = [claim.conditions[stage] for stage in claim.stages if stage in claim.conditions]
    kept: Object = {key: value for key, value in (obj.get("status") or {}).items() if key != "conditions"}
    failed = _condition(claim, len(stages) - 1 if stages else 0, "False", "WriteRefused", message)
    return Plan(_status(obj, claim, (*stages[:-1], failed), kept, now), settled=False)


def _boot(claim: Claim, sku: Sku, nodes: Sequence[Object], now: datetime) -> Iterator[Effect]:
    """What the local cloud's kubelet would write next: the Node, its status, and that it may be used."""
    if not nodes:
        yield Apply(local.node(claim), "it has booted")
    if len(nodes) <= 1 and not any(local.reported(node) for node in nodes):
        yield Apply(local.node_status(claim, sku, now), "its kubelet reports", subresource="status")
    elif len(nodes) == 1 and local.tainted(nodes[0]):
        yield Apply(local.node(claim), "it is Ready, so its not-ready taint goes")
    elif len(nodes) == 1 and not holds(claim.metadata.labels, nodes[0]["metadata"].get("labels")):
        yield Apply(local.node(claim), "it lost labels of its claim")


def _sku(claim: Claim, catalogue: Catalogue) -> Sku | None:
    """The first instance type asked for that we know."""
    return next((sku for name in claim.instance_types if (sku := catalogue.sku(name))), None)


def _unknown(claim: Claim) -> str:
    asked = ", ".join(claim.instance_types) or "none"
    return f"the claim names no instance type that the catalogue has (operator In): {asked}"


def _registered(claim: Claim, nodes: Sequence[Object]) -> Condition:
    if not nodes:
        return _condition(claim, 1, "Unknown", "NodeNotFound", "the node has not registered yet")
    if len(nodes) > 1:
        names = ", ".join(sorted(node["metadata"]["name"] for node in nodes))
        return _condition(claim, 1, "False", "MultipleNodesFound", f"several nodes say they are this claim's: {names}")
    return _condition(claim, 1, "True", "Registered", f"node {nodes[0]['metadata']['name']} has joined")


def _initialized(claim: Claim, sku: Sku, nodes: Sequence[Object], registered: Condition) -> Condition:
    if registered.status != "True":
        return _condition(claim, 2, "Unknown", "AwaitingRegistration", "the node has not registered yet")
    node = nodes[0]
    if not is_ready(node):
        return _condition(claim, 2, "Unknown", "NodeNotReady", f"node {node['metadata']['name']} is not Ready")
    if gpus(node) < sku.gpus:
        return _condition(claim, 2, "Unknown", "ResourceNotRegistered", f"the node does not offer {sku.gpus} {GPU} yet")
    if local.tainted(node):
        return _condition(claim, 2, "Unknown", "EphemeralTaints", f"node {node['metadata']['name']} is still tainted")
    return _condition(claim, 2, "True", "Initialized", f"node {node['metadata']['name']} is Ready")


def _terminate(obj: Object, claim: Claim, nodes: Sequence[Object]) -> Plan:
    """The node first, then the finalizer; a node that is already going is waited for."""
    if nodes:
        effects = tuple(
            Delete(NODE, node["metadata"]["name"], "", node["metadata"]["uid"], "its claim goes")
            for node in nodes
            if not node["metadata"].get("deletionTimestamp")
        )
        return Plan(effects, settled=False)
    return Plan(finalizer(obj, TERMINATION_FINALIZER, present=False, why=f"{claim.metadata.name} has no node left"))


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
    return report(obj, (*found, ready), facts, told=found, function=NAME, now=now)


def _condition(claim: Claim, stage: int, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(
        type=claim.stages[stage],
        status=status,
        reason=reason,
        message=message,
        observed_generation=claim.metadata.generation,
    )
