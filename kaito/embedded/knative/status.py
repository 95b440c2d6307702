"""A Service's status and its Revisions, in Knative's words: pure functions of what the runner knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kaito.api.resources import REVISION, Object
from kaito.embedded.knative.revision import PodFailure, Revision

#: How a Service's Revisions are found.
SERVICE_LABEL = "serving.knative.dev/service"


class Activity(Enum):
    """Of a revision: its condition Active, with reason and message."""

    ACTIVE = ("True", "", "")
    DEPLOYING = ("Unknown", "Deploying", "")
    #: It has been ready before, and is wanted again.
    QUEUED = ("Unknown", "Queued", "Requests to the target are being buffered as resources are provisioned.")
    AT_ZERO = ("False", "NoTraffic", "The target is not receiving traffic.")


@dataclass(frozen=True, slots=True)
class Version:
    """A revision that is current, what it does, whether it was ready once, and why it does not run."""

    revision: Revision
    activity: Activity
    was_ready: bool
    failure: PodFailure | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a Service is.

    ``refusal``: its newest spec was not admitted; ``failure``: the newest revision does not run;
    ``ready``: the revision that the route leads to, if there is one; ``versions``: it and the newest.
    """

    name: str
    generation: int
    url: str
    created: str | None = None
    ready: str | None = None
    refusal: PodFailure | None = None
    failure: PodFailure | None = None
    versions: tuple[Version, ...] = ()


def service_status(progress: Progress, previous: Object, now: str) -> Object:
    """The status to write at ``now`` (RFC 3339); a condition that says what it said in ``previous`` keeps its time."""
    configurations, routes = _configurations(progress), _routes(progress)
    conditions = {
        "ConfigurationsReady": configurations,
        "Ready": _worst(configurations, routes),
        "RoutesReady": routes,
    }
    status: Object = {
        "observedGeneration": progress.generation,
        "url": progress.url,
        "address": {"url": progress.url},
        "conditions": [_timed(kind, said, previous, now) for kind, said in conditions.items()],
    }
    if progress.created:
        status["latestCreatedRevisionName"] = progress.created
    if progress.ready:
        status["latestReadyRevisionName"] = progress.ready
        status["traffic"] = [{"latestRevision": True, "percent": 100, "revisionName": progress.ready}]
    return status


def revision(version: Version, service: Object) -> Object:
    """The object of a revision; Knative has a Configuration between it and its Service."""
    of, given = version.revision, version.revision.template.get("metadata") or {}
    owner = {"apiVersion": service["apiVersion"], "kind": service["kind"], "controller": True}
    return {
        "apiVersion": REVISION.api_version,
        "kind": REVISION.kind,
        "metadata": {
            "name": of.name,
            "namespace": of.namespace,
            "labels": {**(given.get("labels") or {}), SERVICE_LABEL: of.service},
            "annotations": given.get("annotations") or {},
            "ownerReferences": [{**owner, "name": of.service, "uid": service["metadata"]["uid"]}],
        },
        "spec": of.spec,
    }


def revision_status(version: Version, previous: Object, now: str) -> Object:
    """Active, and Ready, which stays True at zero."""
    failure = version.failure
    if failure:
        ready = _condition("False", failure.reason, failure.message)
    else:
        ready = _condition("True" if version.was_ready else "Unknown")
    conditions = {"Active": _condition(*version.activity.value), "Ready": ready}
    return {
        "observedGeneration": 1,
        "conditions": [_timed(kind, said, previous, now) for kind, said in conditions.items()],
    }


def _configurations(progress: Progress) -> Object:
    if progress.refusal:
        return _condition("False", progress.refusal.reason, progress.refusal.message)
    if progress.failure:
        message = f'Revision "{progress.created}" failed with message: {progress.failure.message}'
        return _condition("False", "RevisionFailed", message if message.endswith(".") else message + ".")
    return _condition("True" if progress.created and progress.created == progress.ready else "Unknown")


def _routes(progress: Progress) -> Object:
    # A failure of a newer revision leaves the older one serving; one of the routed revision leaves nothing.
    failed = progress.failure is not None and progress.ready in (None, progress.created)
    if failed or (progress.refusal and not progress.ready):
        return _condition(
            "False", "RevisionMissing", f'Configuration "{progress.name}" does not have any ready Revision.'
        )
    if progress.ready:
        return _condition("True")
    waiting = f'Configuration "{progress.name}" is waiting for a Revision to become ready.'
    return _condition("Unknown", "RevisionMissing", waiting)


def _worst(*conditions: Object) -> Object:
    """Ready says what the first False one says, else the first Unknown one that gives a reason."""
    by_weight = sorted(conditions, key=lambda c: (("False", "Unknown", "True").index(c["status"]), "reason" not in c))
    return by_weight[0]


def _condition(status: str, reason: str = "", message: str = "") -> Object:
    return {"status": status, **({"reason": reason} if reason else {}), **({"message": message} if message else {})}


def _timed(kind: str, said: Object, previous: Object, now: str) -> Object:
    for condition in previous.get("conditions") or ():
        if condition["type"] == kind and condition["status"] == said["status"]:
            return {"type": kind, "lastTransitionTime": condition.get("lastTransitionTime", now), **said}
    return {"type": kind, "lastTransitionTime": now, **said}
