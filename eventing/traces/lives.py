"""Spans of what takes its time: nodes, pods, a model's start, a tuning; by what their objects say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from eventing.traces.scope import Scope
from eventing.traces.sightings import Sightings, settled
from eventing.traces.span import SERVICE, Span, Value, nanoseconds
from functions.tuning.stages import stage_of
from kaito.api.claims import CLAIM_KINDS
from kaito.api.conditions import conditions_of
from kaito.api.durations import seconds
from kaito.api.resources import JOB, KNATIVE_SERVICE, POD, STATEFUL_SET, Kind, Object
from kaito.api.tracing import REVISION, span_id

_RESOURCE: Final = {SERVICE: "kubernetes"}
#: The attribute of what a span is a stage of.
STAGE: Final = "kaito.stage"


@dataclass(frozen=True, slots=True)
class Lives:
    """Of the objects of one Workspace; ``until``: when the recording ends, for what goes on yet."""

    sightings: Sightings
    scope: Scope
    until: datetime

    def spans(self) -> Iterator[Span]:
        pods = [span for it in self._of(KNATIVE_SERVICE, STATEFUL_SET) for span in self._pods(it)]
        yield from (self._node(it) for it in self._of(*CLAIM_KINDS))
        yield from pods
        yield from self._stages({str(it.attributes[REVISION]): it for it in pods})
        for job in self._of(JOB):
            yield from self._job(job)

    def _of(self, *kinds: Kind) -> list[str]:
        """The uids of the Workspace's objects of these kinds, as they came to be."""
        groups = {(kind.group, kind.kind) for kind in kinds}
        found = [
            (states[0][0], uid)
            for uid in self.scope.owned
            if (states := self.sightings.states.get(uid))
            and (Kind.of(states[0][1]).group, states[0][1]["kind"]) in groups
        ]
        return [uid for _, uid in sorted(found)]

    def _node(self, uid: str) -> Span:
        """From its claim to its being ready."""
        obj, ready = self._last(uid), self.sightings.became(uid, "Ready")
        condition = conditions_of(obj).get("Ready")
        attributes: dict[str, Value] = {"kaito.claim": f"{obj['kind']}/{obj['metadata']['name']}"}
        if condition is not None:
            attributes["kaito.ready"] = f"{condition.status} {condition.reason}".strip()
        failure = condition.message or condition.reason if condition and condition.status == "False" else ""
        name = (obj.get("status") or {}).get("nodeName") or obj["metadata"]["name"]
        return self._span(("node", uid), f"node {name}", self._created(uid), ready, attributes, failure=failure)

    def _pods(self, uid: str) -> Iterator[Span]:
        """Of each revision of what runs the model, from when it was asked for to when it is ready."""
        began = dict[str, datetime]()
        ended = dict[str, datetime]()
        failures = dict[str, str]()
        for when, obj in self.sightings.states[uid]:
            revision = _revision(obj)
            if not revision:
                continue
            began.setdefault(revision, when if began else self._created(uid))
            is_ready, since, failure = _ready(obj)
            if is_ready and revision not in ended:
                ended[revision] = settled(since, when)
            failures[revision] = failure
        for revision, asked in began.items():
            name = f"pod start {revision}"
            failure = "" if revision in ended else failures[revision]
            yield self._span(("pod", uid, revision), name, asked, ended.get(revision), {REVISION: revision},
                             failure=failure)  # fmt: skip

    def _stages(self, pods: dict[str, Span]) -> Iterator[Span]:
        """Of the server's start, which says how long each took: so that the last one ends when its pod is ready."""
        told = dict[str, Any]()
        for _, obj in self.sightings.states[self.scope.uid]:
            startup = (obj.get("status") or {}).get("startup") or {}
            if startup.get("revision"):
                told[startup["revision"]] = startup.get("stages") or ()
        for revision, stages in told.items():
            pod = pods.get(revision)
            ended = pod.ended if pod is not None else 0
            for stage in reversed(stages if pod is not None else ()):
                assert pod is not None
                began = max(pod.began, ended - round(seconds(stage["duration"]) * 1e9))
                yield Span(pod.trace, span_id("stage", pod.id, stage["name"]), pod.id, str(stage["name"]), began, ended,
                           {SERVICE: "serving"}, {STAGE: stage["name"], REVISION: revision})  # fmt: skip
                ended = began

    def _job(self, uid: str) -> Iterator[Span]:
        """A tuning's, and in it each stage of each pod."""
        obj = self._last(uid)
        met = {kind: it for kind, it in conditions_of(obj).items() if it.status == "True"}
        ends = [it for it in (self.sightings.became(uid, kind) for kind in ("Complete", "Failed")) if it is not None]
        failure = met["Failed"].message or "failed" if "Failed" in met else ""
        job = self._span(("job", uid), f"tuning {obj['metadata']['name']}", self._created(uid), min(ends, default=None),
                         {}, failure=failure)  # fmt: skip
        yield job
        for pod in self._of(POD):
            yield from self._containers(pod, job)

    def _containers(self, uid: str, job: Span) -> Iterator[Span]:
        """As the pod's status says when each began and ended, and whether well."""
        found = dict[str, tuple[datetime, datetime | None, str]]()
        for when, obj in self.sightings.states[uid]:
            status = obj.get("status") or {}
            for it in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
                state = it.get("state") or {}
                ended, running = state.get("terminated") or {}, state.get("running") or {}
                began = ended.get("startedAt") or running.get("startedAt")
                if began and (it["name"] not in found or found[it["name"]][1] is None):
                    over = settled(ended["finishedAt"], when) if ended.get("finishedAt") else None
                    failure = str(ended.get("reason") or "failed") if ended.get("exitCode") else ""
                    asked = found[it["name"]][0] if it["name"] in found else settled(began, when)
                    found[it["name"]] = asked, over, failure
        pod = self._last(uid)["metadata"]["name"]
        for name, (asked, over, failure) in found.items():
            stage = stage_of(name)
            yield self._span(("container", uid, name), stage, asked, over, {STAGE: stage, "k8s.pod.name": pod},
                             failure=failure, parent=job.id)  # fmt: skip

    def _last(self, uid: str) -> Object:
        return self.sightings.states[uid][-1][1]

    def _created(self, uid: str) -> datetime:
        return self.sightings.created(uid) or self.scope.since

    def _span(
        self,
        of: tuple[str, ...],
        name: str,
        began: datetime,
        ended: datetime | None,
        attributes: dict[str, Value],
        *,
        failure: str = "",
        parent: str = "",
    ) -> Span:
        """One that has not ended goes on to the end of the recording, and says so."""
        over = ended if ended is not None else max(began, self.until)
        more: dict[str, Value] = {} if ended is not None else {"kaito.goes_on": True}
        return Span(self.scope.trace, span_id(*of), parent or self.scope.root, name, nanoseconds(min(began, over)),
                    nanoseconds(over), _RESOURCE, {**attributes, **more}, failure=failure)  # fmt: skip


def root(sightings: Sightings, scope: Scope, until: datetime) -> tuple[datetime, datetime, dict[str, Value], str]:
    """When the Workspace was made and when it was first ready, else when the recording ends; what is said of it, and
    why it is not ready where somebody has to act."""
    ready, last = sightings.became(scope.uid, "WorkspaceReady"), sightings.states[scope.uid][-1][1]
    condition = conditions_of(last).get("WorkspaceReady")
    attributes: dict[str, Value] = {
        "k8s.namespace.name": scope.namespace,
        "kaito.workspace": scope.name,
        "kaito.uid": scope.uid,
        "kaito.generation": last["metadata"].get("generation", 0),
    }
    if ready is None:
        attributes["kaito.goes_on"] = True
    failure = condition.message if condition is not None and condition.status == "False" else ""
    began = sightings.created(scope.uid) or scope.since
    return began, ready or max(began, until), attributes, failure


def _revision(obj: Object) -> str:
    """The one that is asked for, of a Knative Service or a StatefulSet."""
    status = obj.get("status") or {}
    if Kind.of(obj) == STATEFUL_SET:
        return str(status.get("updateRevision") or "")
    return str(status.get("latestCreatedRevisionName") or "")


def _ready(obj: Object) -> tuple[bool, str, str]:
    """Is that one ready, since when as far as it says, and why not where it cannot be."""
    status = obj.get("status") or {}
    if Kind.of(obj) == STATEFUL_SET:
        wanted = (obj.get("spec") or {}).get("replicas", 1)
        whole = status.get("readyReplicas", 0) >= wanted and status.get("updatedReplicas", wanted) >= wanted
        return whole, "", ""
    ready = conditions_of(obj).get("Ready")
    if ready is None:
        return False, "", ""
    current = status.get("latestReadyRevisionName") == status.get("latestCreatedRevisionName")
    failure = ready.message or ready.reason if ready.status == "False" else ""
    return ready.status == "True" and current, ready.last_transition_time, failure
