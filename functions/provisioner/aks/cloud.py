"""The cloud AKS as a claim sees it: its agent pool, attempt after attempt. Pure.

Level-triggered: what a pool is decides the one next thing to do with it, and nothing waits for an operation to end. An
attempt is an instance type of those that the claim names, in their order and then from the first again, with a pause
between rounds. A pool that failed is deleted once the claim says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError, Cause, Failure, classify
from functions.provisioner.aks.health import unhealthy
from functions.provisioner.aks.pool import Pool, pool_name, render
from functions.provisioner.launch import Launch, Release, stage
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import Claim
from kaito.api.conditions import parse_time, rfc3339
from kaito.api.meta import Condition
from kaito.api.resources import NODE, Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Apply, Delete, Effect
from presets import Sku

#: Of a claim: the attempt that comes next, and the time before which it does not.
ANNOTATION_ATTEMPT: Final = "kaito.sh/launch-attempt"
ANNOTATION_AFTER: Final = "kaito.sh/launch-after"
#: Seconds until looking again at what Azure is busy with: nothing tells when it is done.
POLL: Final = 10.0
#: Characters of a condition's message, at most.
MESSAGE: Final = 800
_NO_TYPE = Failure(Cause.REFUSED, "InstanceTypeUnknown", "the claim names no instance type (operator In)")


def launch(claim: Claim, sku: Sku, observed: Observed, settings: Settings, now: datetime) -> Launch:  # noqa: ARG001
    """The next step towards the claim's node."""
    pool = observed.pool
    match pool:
        case AzureError():
            return _unseen(claim, observed, classify(pool))
        case None:
            return _start(claim, observed, now)
        case Pool() if not pool.is_of(claim):
            return _occupied(claim, pool)
        case Pool(state="Deleting"):
            return _launch(observed, _still(claim, f"agent pool {pool.name} is going"), requeue_after=POLL)
        case Pool(failed=True):
            error = pool.error or AzureError(200, pool.state, f"agent pool {pool.name} is {pool.state}")
            return _again(claim, observed, pool, classify(error), now)
        case Pool(state="Creating"):
            return _creating(claim, observed, pool, settings, now)
        case Pool():
            return _made(claim, observed, pool, settings, now)


def release(claim: Claim, observed: Observed) -> Release:
    """Nothing is left when Azure says that there is no such pool, and no Node stands for it any more; a pool of
    somebody else's is none of the claim's."""
    pool = observed.pool
    match pool:
        case AzureError():
            failure = classify(pool)
            return Release((), done=False, condition=_condition(claim, failure), requeue_after=failure.pause(0))
        case Pool() if pool.is_of(claim):
            return Release(discard(pool, f"its claim {claim.metadata.name} goes"), done=False, requeue_after=POLL)
        case _:
            return Release(_forget(observed), done=True)


def refused(claim: Claim, observed: Observed, error: AzureError, now: datetime) -> Launch:
    """What Azure said to a write: it counts as an attempt where it is about what was asked for."""
    failure, attempt = classify(error), _attempt(claim, observed)
    if not failure.cause.is_the_pools:
        pause = failure.pause(0)
        noted = _note(observed, attempt, now, pause)
        return _launch(observed, _condition(claim, failure), (noted,), requeue_after=pause)
    condition, pause = _failed(claim, failure, attempt)
    next_step = _given_up(claim, failure, attempt) or (_note(observed, attempt + 1, now, pause),)
    return _launch(observed, condition, next_step, requeue_after=pause)


def discard(pool: Pool, why: str) -> tuple[Effect, ...]:
    """The next step towards there being no such pool; none while it is going."""
    if pool.state == "Deleting":
        return ()
    if pool.state == "Creating":
        return (AbortPool(pool.name, why),)
    return (DeletePool(pool.name, pool.etag, why),)


def _unseen(claim: Claim, observed: Observed, failure: Failure) -> Launch:
    """What was there may well be still: a node that works does not stop for what Azure does not say."""
    before = claim.conditions.get(claim.stages[0])
    condition = before if before and before.status == "True" else _condition(claim, failure)
    return _launch(observed, condition, requeue_after=failure.pause(0))


def _start(claim: Claim, observed: Observed, now: datetime) -> Launch:
    gone = _forget(observed)
    after = claim.metadata.annotations.get(ANNOTATION_AFTER)
    left = (parse_time(after) - now).total_seconds() if after else 0.0
    if left > 0:
        told = _still(claim, f"its agent pool is to be created, after {after}")
        return _launch(observed, told, gone, requeue_after=left)
    types = claim.instance_types
    if not types:
        return _launch(observed, _condition(claim, _NO_TYPE), gone)
    attempt = _attempt(claim, observed)
    vm_size = types[attempt % len(types)]
    try:
        body = render(claim, vm_size, attempt, now)
    except ValueError as error:
        return _launch(observed, _condition(claim, Failure(Cause.REFUSED, "DiskUnknown", str(error))), gone)
    why = f"attempt {attempt + 1}: {vm_size}"
    name = pool_name(Key(claim.kind, "", claim.metadata.name))
    condition = stage(claim, 0, "Unknown", "Launching", f"agent pool {name} asked for, {why}")
    return _launch(observed, condition, (*gone, CreatePool(name, body, why)), requeue_after=POLL)


def _forget(observed: Observed) -> tuple[Effect, ...]:
    """The Nodes whose pool is gone: what removes them on AKS may be late, and they would pass for the next pool's."""
    why = "its agent pool is gone"
    metas = (node["metadata"] for node in observed.nodes)
    return tuple(Delete(NODE, it["name"], "", it["uid"], why) for it in metas if not it.get("deletionTimestamp"))


def _occupied(claim: Claim, pool: Pool) -> Launch:
    """By an earlier claim's pool, which goes, or by somebody else's, which stays. Neither's node is the claim's."""
    if pool.claim is None or pool.claim.kind != claim.kind:
        whose = "not KAITO's" if pool.claim is None else f"that of {pool.claim.kind.kind} {pool.claim.name}"
        message = f"agent pool {pool.name} is {whose}: delete or rename it, or let the claim have another name"
        return Launch(stage(claim, 0, "False", "NameTaken", message), (), requeue_after=60)
    condition = stage(claim, 0, "Unknown", "AwaitingDeletion", f"agent pool {pool.name} of an earlier claim is going")
    return Launch(condition, (), discard(pool, "its claim is gone"), requeue_after=POLL)


def _creating(claim: Claim, observed: Observed, pool: Pool, settings: Settings, now: datetime) -> Launch:
    waited = now - (pool.created or now)
    if waited > timedelta(seconds=settings.launch_deadline):
        message = f"agent pool {pool.name} is not there {_minutes(waited)} after it was asked for; it is aborted"
        condition = stage(claim, 0, "Unknown", "LaunchTimeout", message)
        return _launch(observed, condition, (AbortPool(pool.name, "it takes too long"),), requeue_after=POLL)
    message = f"agent pool {pool.name} is being created, attempt {pool.attempt + 1}: {pool.vm_size}"
    return _launch(observed, stage(claim, 0, "Unknown", "Launching", message), requeue_after=POLL)


def _made(claim: Claim, observed: Observed, pool: Pool, settings: Settings, now: datetime) -> Launch:
    condition = stage(claim, 0, "True", "Launched", f"agent pool {pool.name} is there: {pool.vm_size}")
    if nodes := _joined(observed):
        health = unhealthy(nodes[0], observed.others, settings.repair_after, now)
        if isinstance(health, Failure):
            return _again(claim, observed, pool, health, now)
        return _launch(observed, condition, _adopt(claim, nodes), requeue_after=health)
    left = settings.registration_deadline - _unregistered(claim, now).total_seconds()
    if left <= 0 or _annotated(claim) > pool.attempt:  # which is given up then
        within = _minutes(timedelta(seconds=settings.registration_deadline))
        message = f"no node of agent pool {pool.name} has joined within {within}"
        return _again(claim, observed, pool, Failure(Cause.REFUSED, "RegistrationTimeout", message), now)
    return _launch(observed, condition, requeue_after=left)


def _unregistered(claim: Claim, now: datetime) -> timedelta:
    """How long a pool that is there has had no node: since it is there, or since the node was lost."""
    launched, registered = (claim.conditions.get(name) for name in claim.stages[:2])
    if launched is None or registered is None or launched.status != "True" or registered.status == "True":
        return timedelta()
    return now - max(parse_time(it.last_transition_time) for it in (launched, registered))


def _adopt(claim: Claim, nodes: Sequence[Object]) -> tuple[Effect, ...]:
    """The labels of its claim that its kubelet could not register with; what it says itself stays."""
    has = nodes[0]["metadata"].get("labels") or {}
    asked = {**claim.metadata.labels, "karpenter.sh/registered": "true"}
    wanted = {name: value for name, value in asked.items() if has.get(name, value) == value}
    if len(nodes) > 1 or wanted.items() <= has.items():
        return ()
    name = nodes[0]["metadata"]["name"]
    meta = {"name": name, "uid": nodes[0]["metadata"]["uid"], "labels": wanted}
    return (Apply({"apiVersion": "v1", "kind": "Node", "metadata": meta}, f"it is {claim.metadata.name}'s"),)


def _again(claim: Claim, observed: Observed, pool: Pool, failure: Failure, now: datetime) -> Launch:
    """The pool failed: that is put on record, then told, and then it goes."""
    condition, pause = _failed(claim, failure, pool.attempt)
    if _annotated(claim) <= pool.attempt:
        # A machine that has failed since is no reason for another instance type.
        further = len(claim.instance_types) if failure.cause is Cause.UNHEALTHY else 1
        return _launch(observed, condition, (_note(observed, pool.attempt + further, now, pause),), requeue_after=0)
    before = claim.conditions.get(condition.type)
    if before is None or (before.status, before.reason) != (condition.status, condition.reason):
        return _launch(observed, condition, requeue_after=0)
    if given_up := _given_up(claim, failure, pool.attempt):
        return _launch(observed, condition, given_up, requeue_after=POLL)
    why = f"attempt {pool.attempt + 1} failed: {failure.reason}"
    return _launch(observed, condition, discard(pool, why), requeue_after=POLL)


def _given_up(claim: Claim, failure: Failure, attempt: int) -> tuple[Effect, ...]:
    """A NodePool's claim goes where none of its instance types is to be had: the NodePool may choose others."""
    owned = any(owner.kind == "NodePool" for owner in claim.metadata.owner_references)
    if not owned or failure.cause is not Cause.CAPACITY or _types_left(claim, attempt):
        return ()
    why = "its NodePool may choose another instance type"
    return (Delete(claim.kind, claim.metadata.name, "", claim.metadata.uid, why),)


def _types_left(claim: Claim, attempt: int) -> bool:
    """Are there instance types that this round of attempts has not tried?"""
    return (attempt + 1) % max(1, len(claim.instance_types)) != 0


def _failed(claim: Claim, failure: Failure, attempt: int) -> tuple[Condition, float]:
    """What it means for the claim, and the seconds before the next attempt: none while there are instance types that
    this round has not tried."""
    types = claim.instance_types
    if _types_left(claim, attempt) and failure.cause is not Cause.UNHEALTHY:
        message = f"{types[attempt % len(types)]}: {failure.message}; {types[(attempt + 1) % len(types)]} comes next"
        return stage(claim, 0, "Unknown", failure.reason, message[:MESSAGE]), 0
    return _condition(claim, failure), failure.pause(attempt // max(1, len(types)))


def _condition(claim: Claim, failure: Failure) -> Condition:
    """False where a person has to act, or all that was asked for has been tried."""
    message = failure.message
    if failure.cause is Cause.CAPACITY:
        message = f"all requested instance types were unavailable during launch: {message}"
    return stage(claim, 0, "Unknown" if failure.cause.passes else "False", failure.reason, message[:MESSAGE])


def _launch(
    observed: Observed,
    condition: Condition,
    effects: tuple[Effect, ...] = (),
    *,
    requeue_after: float | None = None,
) -> Launch:
    nodes, facts = _joined(observed), {}
    if nodes:
        capacity = (nodes[0].get("status") or {}).get("capacity") or {}
        facts = {"providerID": nodes[0]["spec"]["providerID"], "capacity": capacity}
    return Launch(condition, nodes, effects, facts, requeue_after)


def _joined(observed: Observed) -> tuple[Object, ...]:
    """Its nodes that the cloud stands for: none where it says that their pool is gone."""
    if observed.pool is None:
        return ()
    return tuple(node for node in observed.nodes if (node.get("spec") or {}).get("providerID"))


def _still(claim: Claim, otherwise: str) -> Condition:
    """Why it is not launched, where the claim says that already."""
    before = claim.conditions.get(claim.stages[0])
    if before is None or before.status == "True":
        return stage(claim, 0, "Unknown", "Launching", otherwise)
    return before


def _annotated(claim: Claim) -> int:
    found = claim.metadata.annotations.get(ANNOTATION_ATTEMPT, "")
    return int(found) if found.isdecimal() else 0


def _attempt(claim: Claim, observed: Observed) -> int:
    """The one that comes next, or is under way."""
    pool = observed.pool
    return max(_annotated(claim), pool.attempt if isinstance(pool, Pool) and pool.is_of(claim) else 0)


def _note(observed: Observed, attempt: int, now: datetime, pause: float) -> Apply:
    assert observed.claim is not None
    meta = observed.claim["metadata"]
    after = rfc3339(now + timedelta(seconds=pause))
    annotations = {ANNOTATION_ATTEMPT: str(attempt), ANNOTATION_AFTER: after}
    noted = {"name": meta["name"], "uid": meta["uid"], "annotations": annotations}
    head = {"apiVersion": observed.claim["apiVersion"], "kind": observed.claim["kind"]}
    return Apply({**head, "metadata": noted}, f"attempt {attempt + 1} not before {after}")


def _minutes(duration: timedelta) -> str:
    return f"{duration.total_seconds() / 60:.0f} minutes"
