"""What to do about a Workspace: a pure function from what was observed to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from functions.workspace.announcements import deletion, readiness, scaling
from functions.workspace.history import record
from functions.workspace.idle import rest
from functions.workspace.nodes import Nodes, choose
from functions.workspace.observed import Observed
from functions.workspace.render import APPLIED_HASH, render
from functions.workspace.settings import Settings
from functions.workspace.startup import FIELD, unmeasured
from functions.workspace.status import (
    SERVING,
    SUMS,
    TUNING,
    WRITE_REFUSED,
    Carried,
    conditions,
    deleting,
    impossible,
    url,
    write_refused,
)
from functions.workspace.work import work
from kaito.api.claims import render_claim
from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.refusal import Refusal
from kaito.api.resources import KNATIVE_SERVICE, MACHINE, STATEFUL_SET, Kind, Object
from kaito.api.status import is_owned
from kaito.api.workspace import FINALIZER, Workspace
from kaito.runtime.plan import Apply, Delete, Effect, Plan, Refused, finalizer, holds
from kaito.runtime.report import report
from presets import Catalogue

NAME = "kaito-workspace"
_GOES = "its Workspace goes"


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """History, finalizer, claims, what runs the model, status: in this order, each needing only what was observed."""
    obj = observed.workspace
    if obj is None:
        return Plan(tuple(_deletes(observed.claims, _GOES)))
    workspace = Workspace.model_validate(obj)
    if workspace.metadata.deletion_timestamp:
        return _end(obj, workspace, observed, now)
    asked = work(observed, workspace, catalogue)
    if not isinstance(asked, Refusal):
        wanted = render(workspace, asked, settings) if workspace.inference else ()
        asked = _foreign(wanted, observed, workspace) or asked
    if isinstance(asked, Refusal):
        facts: Object = {} if workspace.tuning else {"state": "Failed"}
        return Plan(_status(obj, impossible(workspace, asked), facts, now), settled=not asked.curable)
    kind = settings.claim_kind
    carrier, *others = [_found(it, observed) for it in wanted] or [None]
    kept = settings.node_retention if asked.retention is None else asked.retention
    resting = rest(workspace, carrier, observed.routed, kept)
    nodes = choose(
        workspace,
        asked,
        observed.claims,
        observed.nodes,
        provisioned=kind is not None,
        at_zero=resting is not None and now >= resting.until,
    )
    recorded, annotations = record(obj, observed.revisions)
    why = "its nodes go with it, and its history is kept"
    effects: list[Effect] = [*recorded, *finalizer(obj, FINALIZER, present=True, why=why, annotations=annotations)]
    if kind is not None:
        why = f"{workspace.resource.count} nodes wanted"
        effects += (Apply(render_claim(request, kind), why) for request in nodes.missing)
    if nodes.released:
        effects += _deletes(observed.claims, "nobody asks for its model")
    if len(nodes.ready) == workspace.resource.count:
        effects += _deploy(wanted, observed, workspace)
    balancer = next((it for it in others if it is not None and it["spec"].get("type") == "LoadBalancer"), None)
    about = Carried(carrier, observed.pods, balancer, observed.routed, resting)
    found = conditions(workspace, (kind or MACHINE).kind, nodes, about)
    facts = _facts(nodes, carrier, found)
    effects += (*scaling(obj, found, facts, resting, now), *_status(obj, found, facts, now))
    serves = any(it.type == "InferenceReady" and it.reason == SERVING for it in found)
    if asked.model is not None and carrier is not None and serves:
        effects += unmeasured(obj, carrier, url(carrier))
    settled = all(condition.status != "Unknown" for condition in found)
    if resting is None or not nodes.claims:
        return Plan(tuple(effects), settled=settled)
    left = (resting.until - now).total_seconds()
    return Plan(tuple(effects), requeue_after=left if left > 0 else None, settled=False)


def refused(observed: Observed, write: Refused, now: datetime) -> Plan:
    """The API server refused a write of the plan for good: its words are for the Workspace's status."""
    obj = observed.workspace
    if obj is None:
        return Plan(settled=False)
    workspace = Workspace.model_validate(obj)
    found = write_refused(workspace, conditions_of(obj), str(write))
    return Plan(_status(obj, found, {} if workspace.tuning else {"state": "Failed"}, now), settled=False)


def _deploy(wanted: Sequence[Object], observed: Observed, workspace: Workspace) -> Iterator[Effect]:
    """What carries the model, as wanted: what is no longer goes first, while what it is known by is still there."""
    names = {(Kind.of(it), it["metadata"]["name"]) for it in wanted}
    for child in observed.children:
        if (Kind.of(child), child["metadata"]["name"]) not in names and is_owned(child, workspace.metadata):
            yield Delete.of(child, "the Workspace asks for it no more")
    for it in wanted:
        if _found(it, observed) is None:
            there = observed.child(Kind.of(it), it["metadata"]["name"])
            why = "it differs from what the Workspace says" if there else "the nodes are ready"
            if there is not None and Kind.of(it) == STATEFUL_SET:
                # One pod after the other would be ready only together with those of before: all of them anew.
                yield Delete.of(there, why)
            yield Apply(it, why)


def _found(wanted: Object, observed: Observed) -> Object | None:
    """The object, if it is there and is the one we want, with nothing of it changed by others."""
    found = observed.child(Kind.of(wanted), wanted["metadata"]["name"])
    if found is None:
        return None
    annotations = found["metadata"].get("annotations") or {}
    same = annotations.get(APPLIED_HASH) == wanted["metadata"]["annotations"][APPLIED_HASH]
    return found if same and holds(wanted["spec"], found["spec"]) else None


def _foreign(wanted: Sequence[Object], observed: Observed, workspace: Workspace) -> Refusal | None:
    """What somebody else made under a name that we need."""
    for it in wanted:
        kind, name = Kind.of(it), it["metadata"]["name"]
        if (there := observed.child(kind, name)) is not None and not is_owned(there, workspace.metadata):
            what = "Knative Service" if kind == KNATIVE_SERVICE else kind.kind
            return Refusal(
                "NameTaken",
                f"a {what} named {name} is there already and is not this Workspace's:"
                " delete it, or give the Workspace another name",
                curable=kind != KNATIVE_SERVICE,
            )
    return None


def _facts(nodes: Nodes, carrier: Object | None, found: Sequence[Condition]) -> Object:
    facts: Object = {}
    if overall := next((condition for condition in found if condition.type == "WorkspaceReady"), None):
        facts["state"] = {"True": "Ready", "False": "Failed", "Unknown": "Pending"}[overall.status]
    if nodes.ready:
        facts["workerNodes"] = list(nodes.ready)
    if url(carrier):
        facts["url"] = url(carrier)
    return facts


def _status(obj: Object, found: Sequence[Condition], facts: Object, now: datetime) -> tuple[Effect, ...]:
    """The status write and what is told of its transitions; nothing where the status says it all already."""
    facts = {**facts, "observedGeneration": obj["metadata"].get("generation", 0)}
    refused = any(it.reason == WRITE_REFUSED for it in found)  # which no other condition says
    sums, shared = SUMS[1:] if refused else SUMS, (FIELD, *(TUNING if "tuning" in obj else ()))
    told = report(obj, found, facts, sums=sums, shared=shared, function=NAME, now=now)
    return (*readiness(obj, found, facts, now), *told)


def _end(obj: Object, workspace: Workspace, observed: Observed, now: datetime) -> Plan:
    """Delete what is ours, wait until it is gone, then let go."""
    if FINALIZER not in workspace.metadata.finalizers:
        return Plan()
    owned = [*(child for child in observed.children if is_owned(child, workspace.metadata)), *observed.claims]
    if not owned:
        why = "everything of it is gone"
        return Plan((deletion(obj, why, now), *finalizer(obj, FINALIZER, present=False, why=why)))
    left = [f"{child['kind']} {child['metadata']['name']}" for child in owned]
    said = _status(obj, deleting(workspace, left), {"state": "Deleting"}, now)
    return Plan((*_deletes(owned, _GOES), *said), settled=False)


def _deletes(children: Iterable[Object], why: str) -> Iterator[Delete]:
    for child in children:
        if not child["metadata"].get("deletionTimestamp"):
            yield Delete.of(child, why)
