"""Nodes to zero: when a model that nobody asks for gives its nodes back, and when it needs them again. Pure.

Knative says of a Revision whether it has pods: its condition Active is False when the last is gone, and no longer False
as soon as a request waits for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kaito.api.conditions import conditions_of, parse_time, rfc3339
from kaito.api.meta import Condition
from kaito.api.resources import KNATIVE_SERVICE, Kind, Object
from kaito.api.workspace import ANNOTATION_SCALE_TO_ZERO, Workspace

#: The reason of InferenceReady at zero; since when, its message says first.
AT_ZERO = "ScaledToZero"
_NO_PODS = "no pods since "


@dataclass(frozen=True, slots=True)
class Rest:
    """A model without pods: ``since`` when, and its nodes are kept until ``until``."""

    since: datetime
    until: datetime

    def __str__(self) -> str:
        return f"{_NO_PODS}{rfc3339(self.since)}"


def slept(inference: Condition) -> str:
    """Since when there were no pods, as the condition of a model at zero says."""
    return inference.message.partition(";")[0].removeprefix(_NO_PODS)


def goes_to_zero(workspace: Workspace) -> bool:
    return workspace.metadata.annotations.get(ANNOTATION_SCALE_TO_ZERO) == "true"


def routed(service: Object) -> str:
    """The Revision that a Knative Service leads to; empty where that is not, or not yet, all that it has."""
    status = service.get("status") or {}
    current = status.get("observedGeneration") == service["metadata"].get("generation")
    name = str(status.get("latestReadyRevisionName", ""))
    return name if current and name == status.get("latestCreatedRevisionName") else ""


def rest(workspace: Workspace, carrier: Object | None, revision: Object | None, kept: float) -> Rest | None:
    """Is the model at zero? ``carrier`` is what runs it, where that is as wanted; ``kept``: its nodes, in seconds."""
    if carrier is None or Kind.of(carrier) != KNATIVE_SERVICE or not goes_to_zero(workspace):
        return None
    if revision is None or revision["metadata"]["name"] != routed(carrier):
        return None
    active = conditions_of(revision).get("Active")
    if active is None or active.status != "False" or not active.last_transition_time:
        return None
    since = parse_time(active.last_transition_time)
    return Rest(since, since + timedelta(seconds=kept))


def woken(revision: Object | None) -> bool:
    """Does a request wait for the model, that has no pod yet?"""
    active = conditions_of(revision or {}).get("Active")
    return active is not None and active.status == "Unknown"
