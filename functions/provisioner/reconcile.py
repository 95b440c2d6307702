"""What to do about a claim: its cloud and its stages put together. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from functions.provisioner import adopted, local
from functions.provisioner.aks import cloud as aks
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from functions.provisioner.initialization import initialized
from functions.provisioner.launch import Cloud, Launch, stage
from functions.provisioner.observed import Observed
from functions.provisioner.registration import registered
from functions.provisioner.settings import Settings
from functions.provisioner.status import NAME, told, told_besides
from functions.provisioner.termination import terminate
from kaito.api.claims import ANNOTATION_PROVISIONER, INSTANCE_TYPE, NODE_CLASS, TERMINATION_FINALIZER, Claim
from kaito.api.resources import Object
from kaito.api.workspace import LABEL_WORKSPACE
from kaito.runtime.plan import Plan, Refused, finalizer
from presets import Catalogue, Sku

#: On claims of the reference operator's other kind of workload.
LABEL_RAG_ENGINE = "kaito.sh/ragengine"


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """One step further towards a node that is Ready, or towards nothing being left."""
    obj = observed.claim
    if obj is None:
        return _left_behind(observed.pool)
    claim = Claim.of(obj)
    if not _is_ours(claim):
        return Plan()  # for somebody else's provisioner
    cloud = _cloud(settings)
    if claim.deleting:
        return terminate(obj, claim, cloud.release(claim, observed, settings, now), now)
    sku = _sku(claim, observed, catalogue)
    if sku is None:
        return Plan(told(obj, claim, (stage(claim, 0, "False", "InstanceTypeUnknown", _unknown(claim)),), {}, now))
    plan = _towards(obj, claim, sku, cloud.launch(claim, sku, observed, settings, now), now)
    why, ours = "its node must go with it", {ANNOTATION_PROVISIONER: NAME}
    marked = finalizer(obj, TERMINATION_FINALIZER, present=True, why=why, annotations=ours)
    return replace(plan, effects=(*marked, *plan.effects))  # before a word to the cloud


def refused(observed: Observed, write: Refused, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """The API server or the cloud refused a write of the plan: its words are for the claim's status."""
    obj, error = observed.claim, write.error
    if obj is None:
        return Plan(requeue_after=aks.POLL, settled=False)
    claim = Claim.of(obj)
    if not isinstance(error, AzureError):
        reached = [name for name in claim.stages if name in claim.conditions]
        failed = stage(claim, max(0, len(reached) - 1), "False", "WriteRefused", str(write))
        return Plan(told_besides(obj, claim, failed, now), settled=False)
    if claim.deleting:
        stays = aks.kept(claim, aks.release(claim, observed, settings, now), error)
        return terminate(obj, claim, stays, now)
    sku = _sku(claim, observed, catalogue)
    assert sku is not None, "else nothing was asked for"
    planned = aks.launch(claim, sku, observed, settings, now)
    return _towards(obj, claim, sku, aks.refused(claim, planned, observed, write.effect, error, now), now)


def _towards(obj: Object, claim: Claim, sku: Sku, launch: Launch, now: datetime) -> Plan:
    """What the cloud does next, and what there is to tell of it and of the claim's node."""
    joined = registered(claim, launch.nodes)
    usable = initialized(claim, sku, launch.nodes, joined)
    facts = dict(launch.facts)
    if joined.status == "True":
        facts["nodeName"] = launch.nodes[0]["metadata"]["name"]
        facts["allocatable"] = launch.nodes[0]["status"].get("allocatable", {})
    stages = (launch.condition, joined, usable)
    effects = (*launch.effects, *told(obj, claim, stages, facts, now, sku.name))
    return Plan(effects, launch.requeue_after, settled=all(stage.status == "True" for stage in stages))


def _cloud(settings: Settings) -> Cloud:
    if settings.azure:
        return aks
    return adopted if settings.adopts else local


def _is_ours(claim: Claim) -> bool:
    """By KAITO's labels or its node class; also where the claim has lost them since: what was done for it has to be
    undone."""
    return (
        not {LABEL_WORKSPACE, LABEL_RAG_ENGINE}.isdisjoint(claim.metadata.labels)
        or (claim.node_class is not None and (claim.node_class.group, claim.node_class.kind) == NODE_CLASS)
        or ANNOTATION_PROVISIONER in claim.metadata.annotations
    )


def _left_behind(pool: Pool | AzureError | None) -> Plan:
    """There is no claim of that name: what becomes of an agent pool that was made for it."""
    if isinstance(pool, Pool) and pool.claim is not None:
        return Plan(aks.discard(pool, "its claim is gone"), requeue_after=aks.POLL, settled=False)
    return Plan(settled=not isinstance(pool, AzureError))


def _sku(claim: Claim, observed: Observed, catalogue: Catalogue) -> Sku | None:
    """What its node is: of several instance types, one that was to be had. Else the first of those asked for that we
    know."""
    got = [(node["metadata"].get("labels") or {}).get(INSTANCE_TYPE, "") for node in observed.nodes]
    return next((sku for name in (*got, *claim.instance_types) if (sku := catalogue.sku(name))), None)


def _unknown(claim: Claim) -> str:
    asked = ", ".join(claim.instance_types) or "none"
    return f"the claim names no instance type that the catalogue has (operator In): {asked}"
