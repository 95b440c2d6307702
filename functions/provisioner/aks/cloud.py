"""The cloud AKS as a claim sees it: its agent pool. Pure.

Level-triggered: what a pool is decides the one next thing to do with it, and nothing waits for an operation to end. A
pool that failed is deleted once the claim says why; one whose node works is not, whatever else is said of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from functions.provisioner.aks import attempts
from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError, Cause, Failure, classify
from functions.provisioner.aks.nodes import adopt, doubt_of, forget, had, is_earlier, joined_of, minutes, working
from functions.provisioner.aks.pool import Pool, pool_name, render
from functions.provisioner.launch import Launch, Release, stage
from functions.provisioner.observed import Observed
from functions.provisioner.settings import Settings
from kaito.api.claims import Claim
from kaito.api.conditions import parse_time
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Effect
from presets import Sku

#: Seconds until looking again at what Azure is busy with: nothing tells when it is done.
POLL: Final = 10.0
#: Seconds until what is told now can be read: it is held back for a moment, to be told with what follows.
SOON: Final = 2.0
_NO_TYPE = Failure(Cause.REFUSED, "InstanceTypeUnknown", "the claim names no instance type (operator In)")
_TIMEOUT: Final = "LaunchTimeout"
_GOING: Final = "Terminating"


def launch(claim: Claim, sku: Sku, observed: Observed, settings: Settings, now: datetime) -> Launch:
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
            return _launch(claim, observed, _still(claim, f"agent pool {pool.name} is going"), requeue_after=POLL)
        case Pool(state="Succeeded"):
            return _made(claim, sku, observed, pool, settings, now)
        case Pool() if _has_worked(claim, observed, pool):  # the cluster is upgraded, say, or could not be
            return _made(claim, sku, observed, pool, settings, now)
        case Pool(failed=True):
            return _again(claim, observed, pool, _why(claim, pool), now)
        case Pool():
            return _under_way(claim, observed, pool, settings, now)


def release(claim: Claim, observed: Observed, settings: Settings, now: datetime) -> Release:
    """Nothing is left when Azure says that there is no such pool, and no Node stands for it any more; a pool of
    somebody else's is none of the claim's."""
    pool = observed.pool
    match pool:
        case AzureError():
            failure = classify(pool)
            seen = _going(claim, f"its agent pool cannot be seen: {failure.message}")
            condition = seen if failure.cause.passes else attempts.condition(claim, failure)
            return Release((), done=False, condition=condition, requeue_after=failure.pause(0))
        case Pool() if pool.is_of(claim):
            why = f"its claim {claim.metadata.name} goes"
            told = _leaving(claim, pool, settings, now)
            return Release(discard(pool, why), done=False, condition=told, requeue_after=POLL)
        case None if (node := working(observed)) and not _was_going(claim):
            return Release((), done=False, condition=_astray(claim, node), requeue_after=POLL)
        case None:
            return Release(forget(observed.nodes), done=True)
        case Pool():
            return Release((), done=True)


def refused(
    claim: Claim, planned: Launch, observed: Observed, effect: Effect, error: AzureError, now: datetime
) -> Launch:
    """What Azure said to a write of what was planned: it counts as an attempt where a pool was asked for, and the
    answer is about that."""
    failure = classify(error)
    if not isinstance(effect, CreatePool):
        told = attempts.but(planned.condition, failure)
        return replace(planned, condition=told, effects=(), requeue_after=failure.pause(0))
    attempt = attempts.noted(claim)
    if not failure.cause.is_the_pools:
        pause = failure.pause(0)
        record = attempts.note(observed, attempt, now, pause)
        return _launch(claim, observed, attempts.condition(claim, failure), (record,), requeue_after=pause)
    condition, pause = attempts.failed(claim, failure, attempt)
    record = attempts.note(observed, attempts.following(claim, failure, attempt), now, pause)
    effects = attempts.given_up(claim, failure, attempt) or (record,)
    return _launch(claim, observed, condition, effects, requeue_after=pause)


def kept(claim: Claim, planned: Release, error: AzureError) -> Release:
    """Azure refused a write of that release: it says so, and is tried again."""
    failure = classify(error)
    told = attempts.but(planned.condition or _going(claim, "its agent pool is to go"), failure)
    return Release((), done=False, condition=told, requeue_after=failure.pause(0))


def discard(pool: Pool, why: str) -> tuple[Effect, ...]:
    """The next step towards there being no such pool; none while Azure is at it."""
    if pool.state in ("Deleting", "Canceling"):
        return ()
    if pool.state == "Creating":
        return (AbortPool(pool.name, why),)
    return (DeletePool(pool.name, pool.etag, why),)


def _unseen(claim: Claim, observed: Observed, failure: Failure) -> Launch:
    """What was there may well be still: a node that works does not stop for what Azure does not say."""
    before = claim.conditions.get(claim.stages[0])
    condition = before if before and before.status == "True" else attempts.condition(claim, failure)
    return _launch(claim, observed, condition, requeue_after=failure.pause(0))


def _start(claim: Claim, observed: Observed, now: datetime) -> Launch:
    if node := working(observed):
        return _launch(claim, observed, _astray(claim, node), requeue_after=POLL)
    gone = forget(observed.nodes)
    left, after = attempts.pending(claim, now)
    if left > 0:
        told = _still(claim, f"its agent pool is to be created, after {after}")
        return _launch(claim, observed, told, gone, requeue_after=left)
    types = claim.instance_types
    if not types:
        return _launch(claim, observed, attempts.condition(claim, _NO_TYPE), gone)
    attempt = attempts.noted(claim)
    vm_size = types[attempt % len(types)]
    try:
        body = render(claim, observed.cluster, vm_size, attempt, now)
    except ValueError as error:
        unknown = Failure(Cause.REFUSED, "DiskUnknown", str(error))
        return _launch(claim, observed, attempts.condition(claim, unknown), gone)
    why = f"attempt {attempt + 1}: {vm_size}"
    name = pool_name(Key(claim.kind, "", claim.metadata.name))
    condition = stage(claim, 0, "Unknown", "Launching", f"agent pool {name} asked for, {why}")
    return _launch(claim, observed, condition, (*gone, CreatePool(name, body, why)), requeue_after=POLL)


def _astray(claim: Claim, node: Object) -> Condition:
    name = pool_name(Key(claim.kind, "", claim.metadata.name))
    said = f"node {node['metadata']['name']} works, and Azure says that there is no agent pool {name}"
    return stage(claim, 0, "Unknown", "AgentPoolNotFound", f"{said}: is AZURE_CLUSTER_NAME this cluster's?")


def _occupied(claim: Claim, pool: Pool) -> Launch:
    """By an earlier claim's pool, which goes, or by somebody else's, which stays. Neither's node is the claim's."""
    if pool.claim is None or pool.claim.kind != claim.kind:
        whose = "not this KAITO's" if pool.claim is None else f"that of {pool.claim.kind.kind} {pool.claim.name}"
        message = f"agent pool {pool.name} is {whose}: delete or rename it, or let the claim have another name"
        return Launch(stage(claim, 0, "False", "NameTaken", message), (), requeue_after=60)
    condition = stage(claim, 0, "Unknown", "AwaitingDeletion", f"agent pool {pool.name} of an earlier claim is going")
    return Launch(condition, (), discard(pool, "its claim is gone"), requeue_after=POLL)


def _has_worked(claim: Claim, observed: Observed, pool: Pool) -> bool:
    """Has the pool a node that works, or had one?"""
    return working(observed) is not None or bool(had(claim, pool))


def _why(claim: Claim, pool: Pool) -> Failure:
    """Why a pool has failed: what was said when it was aborted, where that was done."""
    before = claim.conditions.get(claim.stages[0])
    if pool.state == "Canceled" and before is not None and before.reason == _TIMEOUT:
        return Failure(Cause.REFUSED, _TIMEOUT, before.message)
    return classify(pool.error or AzureError(200, pool.state, f"agent pool {pool.name} is {pool.state}"))


def _under_way(claim: Claim, observed: Observed, pool: Pool, settings: Settings, now: datetime) -> Launch:
    """Creating, or whatever else that will end."""
    waited = now - (pool.created or now)
    if pool.state == "Creating" and waited > timedelta(seconds=settings.launch_deadline):
        within = minutes(settings.launch_deadline)
        condition = stage(claim, 0, "Unknown", _TIMEOUT, f"agent pool {pool.name} was not there within {within}")
        return _launch(claim, observed, condition, (AbortPool(pool.name, "it takes too long"),), requeue_after=POLL)
    if pool.state != "Creating":
        return _launch(claim, observed, _still(claim, f"agent pool {pool.name} is {pool.state}"), requeue_after=POLL)
    message = f"agent pool {pool.name} is being created, attempt {pool.attempt + 1}: {pool.vm_size}"
    return _launch(claim, observed, stage(claim, 0, "Unknown", "Launching", message), requeue_after=POLL)


def _made(claim: Claim, sku: Sku, observed: Observed, pool: Pool, settings: Settings, now: datetime) -> Launch:
    nodes = joined_of(claim, observed)
    doubt = doubt_of(claim, sku, observed, pool, settings, now)
    if isinstance(doubt, Failure):
        return _again(claim, observed, pool, doubt, now)
    state = "there" if pool.state == "Succeeded" else pool.state + (f" ({pool.error})" if pool.error else "")
    held = f"; {doubt.why}" if doubt and doubt.why else ""
    said = f"agent pool {pool.name} is {state}: {pool.vm_size}{held}"
    if nodes or pool.state == "Succeeded":
        condition = stage(claim, 0, "True", "Launched", said[: attempts.MESSAGE])
    else:
        condition = stage(claim, 0, "Unknown", f"AgentPool{pool.state}", said[: attempts.MESSAGE])
    effects = adopt(claim, sku, nodes) if len(nodes) == 1 else ()
    if nodes and attempts.noted(claim) > pool.attempt:  # it was to be given up, and has come back
        effects = (*effects, attempts.note(observed, pool.attempt, now, 0))
    again = [doubt.seconds] if doubt else []
    if pool.state != "Succeeded" and not pool.failed:  # it will be something else soon
        again.append(POLL)
    return _launch(claim, observed, condition, effects, requeue_after=min(again, default=None))


def _again(claim: Claim, observed: Observed, pool: Pool, failure: Failure, now: datetime) -> Launch:
    """The pool failed: that is put on record and told, and then it goes."""
    condition, pause = attempts.failed(claim, failure, pool.attempt)
    if attempts.noted(claim) <= pool.attempt:
        record = attempts.note(observed, attempts.following(claim, failure, pool.attempt), now, pause)
        return _launch(claim, observed, condition, (record,), requeue_after=SOON)
    before = claim.conditions.get(condition.type)
    if before is None or (before.status, before.reason) != (condition.status, condition.reason):
        return _launch(claim, observed, condition, requeue_after=SOON)
    why = f"attempt {pool.attempt + 1} failed: {failure.reason}"
    effects = attempts.given_up(claim, failure, pool.attempt) or discard(pool, why)
    return _launch(claim, observed, condition, effects, requeue_after=POLL)


def _launch(
    claim: Claim,
    observed: Observed,
    condition: Condition,
    effects: tuple[Effect, ...] = (),
    *,
    requeue_after: float | None = None,
) -> Launch:
    nodes, pool = joined_of(claim, observed), observed.pool
    outlived = forget([node for node in observed.nodes if isinstance(pool, Pool) and is_earlier(node, claim, pool)])
    facts: Object = {}
    if nodes:
        capacity = (nodes[0].get("status") or {}).get("capacity") or {}
        facts = {"providerID": nodes[0]["spec"]["providerID"], "capacity": capacity}
    elif claim.status.node_name and (isinstance(pool, AzureError) or (pool and had(claim, pool))):
        # That it had one is what tells a node that is lost from one that has not come yet.
        facts = {"providerID": claim.status.provider_id, "nodeName": claim.status.node_name}
    if isinstance(pool, Pool) and pool.image:
        facts["imageID"] = pool.image
    return Launch(condition, nodes, (*outlived, *effects), facts, requeue_after)


def _still(claim: Claim, otherwise: str) -> Condition:
    """Why it is not launched, where the claim says that already."""
    before = claim.conditions.get(claim.stages[0])
    if before is None or before.status == "True":
        return stage(claim, 0, "Unknown", "Launching", otherwise)
    return before


def _leaving(claim: Claim, pool: Pool, settings: Settings, now: datetime) -> Condition:
    """That the pool goes, and where it takes too long, that a person should look."""
    since = claim.metadata.deletion_timestamp
    assert since is not None
    if (now - parse_time(since)).total_seconds() <= settings.launch_deadline:
        return _going(claim, f"agent pool {pool.name} is going, since {since}")
    said = f"agent pool {pool.name} is {pool.state}, and not gone {minutes(settings.launch_deadline)} after {since}"
    return stage(claim, 0, "False", "TerminationTimeout", f"{said}: what does Azure's activity log say of it?")


def _going(claim: Claim, message: str) -> Condition:
    return stage(claim, 0, "Unknown", _GOING, message[: attempts.MESSAGE])


def _was_going(claim: Claim) -> bool:
    """Was its pool seen, and to go?"""
    before = claim.conditions.get(claim.stages[0])
    return before is not None and before.reason in (_GOING, "TerminationTimeout")
