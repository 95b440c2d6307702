"""What would become of a Workspace that tunes, and where it stands: decisions that are not carried out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from functions.tuning.observed import Observed
from functions.tuning.reconcile import reconcile
from functions.tuning.settings import Settings
from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.runtime.plan import Apply, Plan
from presets import Catalogue


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``made``: what would be applied, once the nodes are ready, and is not there; ``refusal``: why not."""

    made: tuple[Object, ...]
    refusal: Condition | None


def rehearse(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Rehearsal:
    """As if its nodes were ready."""
    assert observed.workspace is not None
    there = {**observed.workspace, "status": {"conditions": [{"type": "ResourceReady", "status": "True"}]}}
    observed = replace(observed, workspace=there)
    plan = reconcile(observed, catalogue, settings, now)
    job = _job(plan, observed)
    made = (it.object for it in plan.effects if isinstance(it, Apply) and it.subresource is None)
    return Rehearsal(tuple(made), job if job.status == "False" else None)


def explain(observed: Observed, catalogue: Catalogue, settings: Settings, now: datetime) -> Condition:
    """Where its Job stands."""
    return _job(reconcile(observed, catalogue, settings, now), observed)


def look(workspace: Object) -> tuple[str, ...]:
    """Commands that show more of its Job."""
    meta = workspace["metadata"]
    return (
        f"kubectl describe job {meta['name']} -n {meta['namespace']}",
        f"kubectl logs -n {meta['namespace']} job/{meta['name']} --all-containers --tail=50",
    )


def _job(plan: Plan, observed: Observed) -> Condition:
    """As the plan's status has it, or the one that says it all already."""
    assert observed.workspace is not None
    written = (it.object["status"] for it in plan.effects if isinstance(it, Apply) and it.subresource == "status")
    status: Object = next(written, observed.workspace.get("status") or {})
    return conditions_of({"status": status})["JobStarted"]
