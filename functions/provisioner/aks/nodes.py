"""The nodes of a claim's agent pool: which are its own, what becomes of them, and what they say of the pool. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from functions.provisioner.aks import attempts
from functions.provisioner.aks.failure import Cause, Failure
from functions.provisioner.aks.health import HELD_BACK, LABEL_INITIALIZED, Wait, held_back, unequipped, unhealthy
from functions.provisioner.aks.pool import Pool, claim_label
from functions.provisioner.initialization import initialized
from functions.provisioner.observed import Observed
from functions.provisioner.registration import registered
from functions.provisioner.settings import Settings
from kaito.api.claims import Claim
from kaito.api.conditions import parse_time
from kaito.api.nodes import is_ready
from kaito.api.resources import NODE, Object
from kaito.runtime.plan import Apply, Delete, Effect
from presets import Sku


def working(observed: Observed) -> Object | None:
    """A node whose kubelet reports. Is its pool not there? Then we ask of the wrong cluster, or its machine has gone
    just now, and it will be said to be not Ready in a minute."""
    return next((node for node in observed.nodes if is_ready(node)), None)


def forget(nodes: Sequence[Object]) -> tuple[Effect, ...]:
    """The Nodes whose pool is gone: what removes them on AKS may be late, and they would pass for the next pool's."""
    why = "its agent pool is gone"
    metas = (node["metadata"] for node in nodes)
    return tuple(Delete(NODE, it["name"], "", it["uid"], why) for it in metas if not it.get("deletionTimestamp"))


def joined_of(claim: Claim, observed: Observed) -> tuple[Object, ...]:
    """Its nodes that the cloud stands for: none where it says that their pool is gone."""
    pool = observed.pool
    if pool is None:
        return ()
    theirs = [node for node in observed.nodes if (node.get("spec") or {}).get("providerID")]
    return tuple(node for node in theirs if not (isinstance(pool, Pool) and is_earlier(node, claim, pool)))


def is_earlier(node: Object, claim: Claim, pool: Pool) -> bool:
    """Is it of an earlier pool of that name, and has outlived it? A machine of the next one may take its name, and its
    Node, over: then it has been Ready since."""
    since = node["metadata"].get("creationTimestamp")
    if is_ready(node) or since is None or pool.created is None or had(claim, pool) == node["metadata"]["name"]:
        return False
    return parse_time(since) < pool.created


def had(claim: Claim, pool: Pool) -> str:
    """The name of the node that has registered of this pool, and may be lost since; empty where none has."""
    joined = claim.conditions.get(claim.stages[1])
    if joined is None or pool.created is None or parse_time(joined.last_transition_time) < pool.created:
        return ""  # what the claim says is of an earlier pool
    return claim.status.node_name


def adopt(claim: Claim, sku: Sku, nodes: Sequence[Object]) -> tuple[Effect, ...]:
    """The labels of its claim that its kubelet could not register with, and those that Karpenter's nodes have; what it
    says itself stays."""
    meta = nodes[0]["metadata"]
    has = meta.get("labels") or {}
    usable = initialized(claim, sku, nodes, registered(claim, nodes)).status == "True"
    karpenters = {"karpenter.sh/registered": "true", **({LABEL_INITIALIZED: "true"} if usable else {})}
    asked = {**claim.metadata.labels, **claim_label(claim)}
    wanted = {**{name: value for name, value in asked.items() if has.get(name, value) == value}, **karpenters}
    if LABEL_INITIALIZED in has:
        wanted[LABEL_INITIALIZED] = has[LABEL_INITIALIZED]
    if wanted.items() <= has.items():
        return ()
    applied = {"name": meta["name"], "uid": meta["uid"], "labels": wanted}
    return (Apply({"apiVersion": "v1", "kind": "Node", "metadata": applied}, f"it is {claim.metadata.name}'s"),)


def doubt_of(
    claim: Claim, sku: Sku, observed: Observed, pool: Pool, settings: Settings, now: datetime
) -> Failure | Wait | None:
    """Why a pool that is there is given up; else until when it may come to that, None where all is well."""
    nodes = joined_of(claim, observed)
    if len(nodes) > 1:  # which is told, and left alone
        return None
    deadline = settings.registration_deadline
    if nodes:
        doubt = unhealthy(nodes[0], observed.others, observed.missing, settings.repair_after, now)
        joined = claim.conditions.get(claim.stages[1])
        since = parse_time(joined.last_transition_time) if joined and joined.status == "True" else now
        return doubt or unequipped(nodes[0], sku.gpus, (now - since).total_seconds(), deadline)
    lost = had(claim, pool)
    left = deadline - _alone(claim, now, since_lost=bool(lost)).total_seconds()
    if left > 0 and attempts.noted(claim) <= pool.attempt:  # else it is being given up
        return Wait(left)
    if lost:
        if held_back(observed.others, observed.missing):
            return HELD_BACK
        message = f"node {lost} of agent pool {pool.name} is gone, and has not come back within {minutes(deadline)}"
        return Failure(Cause.UNHEALTHY, "NodeLost", message)
    said = f"no node of agent pool {pool.name} has joined within {minutes(deadline)}"
    return Failure(Cause.REFUSED, "RegistrationTimeout", f"{said}: is AZURE_CLUSTER_NAME this cluster's?")


def _alone(claim: Claim, now: datetime, *, since_lost: bool) -> timedelta:
    """How long a pool that is there has had no node: since that was lost, else since it is there."""
    launched, joined = (claim.conditions.get(name) for name in claim.stages[:2])
    if joined is None or joined.status == "True":
        return timedelta()
    if since_lost:
        return now - parse_time(joined.last_transition_time)
    if launched is None or launched.status != "True":
        return timedelta()
    return now - max(parse_time(it.last_transition_time) for it in (launched, joined))


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes"
