"""What to do about a Workspace that tunes: a pure function from what was observed to a plan."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from functions.tuning.announcements import announcements
from functions.tuning.observed import Observed
from functions.tuning.render import DIGEST, render, template
from functions.tuning.settings import Settings
from functions.tuning.stages import Standing, standing
from functions.tuning.status import (
    NAME,
    SHARED,
    SUMS,
    awaiting,
    before,
    facts,
    failed,
    milestones,
    overall,
    started,
)
from functions.tuning.work import Work, work
from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.refusal import Refusal
from kaito.api.resources import Object
from kaito.api.status import is_owned
from kaito.api.workspace import Workspace
from kaito.runtime.plan import Apply, Delete, Effect, Plan, Refused, Tell
from kaito.runtime.report import report
from presets import Catalogue

#: Seconds until one that trains is asked again how far it is.
PERIOD: Final = 10.0
_WAITING: Final = "the Job starts once the nodes are ready"


def reconcile(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Plan:
    """The training config, the Job, the status: in this order."""
    obj = observed.workspace
    if obj is None:
        return Plan()
    workspace = Workspace.model_validate(obj)
    if workspace.metadata.deletion_timestamp:
        return Plan(tuple(_delete(observed.job, workspace, "its Workspace goes")))
    asked = work(observed, workspace, catalogue, settings)
    if asked is not None and not isinstance(asked, Refusal) and _foreign(observed.job, workspace):
        asked = Refusal(
            "NameTaken",
            f"a Job named {workspace.metadata.name} is there already and is not this Workspace's: delete it, or give"
            " the Workspace another name",
            curable=True,
        )
    if isinstance(asked, Refusal):
        job = failed(workspace, asked.reason, asked.message)
        return Plan(_report(obj, workspace, job, None, None, now), settled=not asked.curable)
    if asked is None:
        job = awaiting(workspace, "WaitingForNodes", _WAITING)
        return Plan(_report(obj, workspace, job, None, None, now), settled=_is_refused(obj))
    return _tune(obj, workspace, asked, observed, settings, now)


def refused(observed: Observed, write: Refused, now: datetime) -> Plan:
    """The API server refused a write of the plan for good: its words are for the Workspace's status."""
    obj = observed.workspace
    if obj is None:
        return Plan(settled=False)
    workspace = Workspace.model_validate(obj)
    job = failed(workspace, "WriteRefused", str(write))
    return Plan(_report(obj, workspace, job, None, None, now), settled=False)


def _tune(
    obj: Object, workspace: Workspace, asked: Work, observed: Observed, settings: Settings, now: datetime
) -> Plan:
    effects = list[Effect]()
    there, resource = observed.job, before(obj)
    ready = resource is not None and resource.status == "True"
    over, stood = False, None
    if there is None and _is_done(obj, workspace, asked):
        return Plan()
    if there is None and not ready:
        over = _is_refused(obj)
        job = awaiting(workspace, "WaitingForNodes", _WAITING)
    elif there is None:
        if observed.config is None:
            effects.append(Apply(template(workspace, asked), "what the Workspace is tuned by"))
        effects.append(Apply(render(workspace, asked, settings), "the nodes are ready"))
        job = awaiting(workspace, "Starting", "the Job is being started")
    elif there["metadata"].get("annotations", {}).get(DIGEST) != asked.digest:
        effects += _delete(there, workspace, "another tuning is asked for")
        job = awaiting(workspace, "Replacing", "another tuning is asked for, and the Job of before goes first")
    else:
        stood = standing(there, observed.pods)
        over = stood.outcome != ""
        job = started(workspace, stood, observed.progress)
        if observed.progress:
            effects += (Tell(event) for event in milestones(obj, there, observed.progress, now))
    effects += _report(obj, workspace, job, stood, observed.progress, now, asked.digest)
    return Plan(tuple(effects), requeue_after=PERIOD if stood and not over else None, settled=over)


def _report(
    obj: Object,
    workspace: Workspace,
    job: Condition,
    stood: Standing | None,
    progress: Object | None,
    now: datetime,
    asked: str = "",
) -> tuple[Effect, ...]:
    sums = overall(workspace, before(obj), job, stood)
    said = facts(workspace, job, sums[0], stood, progress, asked)
    told = report(obj, (job, *sums), said, sums=SUMS, shared=SHARED, function=NAME, now=now)
    return (*announcements(obj, workspace, job, sums[0], said, now), *told)


def _is_done(obj: Object, workspace: Workspace, asked: Work) -> bool:
    """Was this very tuning finished, by a Job that somebody has cleared away since?"""
    ready, known = conditions_of(obj).get("WorkspaceReady"), workspace.status.tuning
    return ready is not None and ready.status == "True" and known is not None and known.asked == asked.digest


def _is_refused(obj: Object) -> bool:
    """Does it wait for nodes that only a person can bring? The workspace function's next status is an event."""
    resource = before(obj)
    return resource is not None and resource.status == "False"


def _foreign(job: Object | None, workspace: Workspace) -> bool:
    return job is not None and not is_owned(job, workspace.metadata)


def _delete(job: Object | None, workspace: Workspace, why: str) -> list[Delete]:
    if job is None or _foreign(job, workspace) or job["metadata"].get("deletionTimestamp"):
        return []
    return [Delete.of(job, why)]
