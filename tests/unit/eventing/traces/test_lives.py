"""What takes its time, by what objects say of themselves: tunings, gangs, what failed and what goes on yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from eventing.recordings.recording import Record, Recording
from eventing.traces.sightings import settled
from eventing.traces.span import Span, nanoseconds
from eventing.traces.trace import trace
from kaito.api.resources import Object

BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OWNER = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": "phi", "uid": "w", "controller": True}


def at(second: float) -> datetime:
    return BEGAN + timedelta(seconds=second)


def said(second: float) -> str:
    return f"{at(second):%Y-%m-%dT%H:%M:%SZ}"


def obj(
    kind: str, uid: str, version: str = "v1", *, owner: Object | None = None, labels: Object | None = None, **more: Any
) -> Object:
    meta = {"name": f"the-{uid}", "namespace": "default", "uid": uid, "creationTimestamp": said(0)}
    owners = {"ownerReferences": [owner]} if owner else {}
    return {"apiVersion": version, "kind": kind, "metadata": {**meta, **owners, "labels": labels or {}}, **more}


def workspace(**conditions: tuple[str, float, str]) -> Object:
    found = obj("Workspace", "w", "kaito.sh/v1alpha1", status=statuses(**conditions))
    found["metadata"]["name"] = "phi"
    return found


def statuses(**conditions: tuple[str, float, str]) -> Object:
    return {
        "conditions": [
            {"type": kind, "status": status, "lastTransitionTime": said(when), "message": message}
            for kind, (status, when, message) in conditions.items()
        ]
    }


def told(*states: tuple[float, Object]) -> dict[str, Span]:
    """The trace of a recording in which these were heard of, by the names of its spans."""

    def delivery(number: int, second: float, seen: Object) -> Record:
        headers = {"ce-specversion": "1.0", "ce-id": str(number), "ce-source": "s", "ce-type": "resource.update"}
        data = {"headers": {**headers, "content-type": "application/json"}, "body": json.dumps(seen)}
        return Record("delivery", f"1-{number:08}", "kaito-workspace/1", at(second), "", data)

    records = [delivery(number, second, seen) for number, (second, seen) in enumerate(states)]
    return {it.name: it for it in trace(Recording.of(records), "default", "phi")}


def times(span: Span) -> tuple[float, float]:
    """In seconds since then."""
    return (span.began - nanoseconds(BEGAN)) / 10**9, (span.ended - nanoseconds(BEGAN)) / 10**9


def pod(second: float, *containers: tuple[str, float, float | None, int]) -> tuple[float, Object]:
    def state(began: float, ended: float | None, code: int) -> Object:
        if ended is None:
            return {"running": {"startedAt": said(began)}}
        over = {"startedAt": said(began), "finishedAt": said(ended), "exitCode": code}
        return {"terminated": {**over, **({"reason": "OOMKilled"} if code else {})}}

    shown: Sequence[Object] = [
        {"name": name, "state": state(began, ended, code)} for name, began, ended, code in containers
    ]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "uid": "j", "controller": True}
    return second, obj("Pod", "p", owner=owner, status={"containerStatuses": shown})


def test_a_tunings_stages_are_its_containers() -> None:
    job = obj("Job", "j", "batch/v1", owner=OWNER)
    done = {**job, "status": statuses(Complete=("True", 60, ""))}
    found = told(
        (0.2, workspace()),
        (0.5, job),
        pod(2.1, ("fetch", 2, None, 0)),
        pod(5.4, ("fetch", 2, 5, 0), ("train", 5, None, 0)),
        pod(59.9, ("fetch", 2, 5, 0), ("train", 5, 58, 137)),
        (60.3, done),
    )
    assert times(found["tuning the-j"]) == (0.5, 60.3)
    assert (times(found["fetch"]), times(found["train"])) == ((2.1, 5.4), (5.4, 59.0))
    assert {found[name].parent for name in ("fetch", "train")} == {found["tuning the-j"].id}
    assert (found["fetch"].failure, found["train"].failure) == ("", "OOMKilled")


def test_what_goes_on_goes_to_the_end_of_the_recording_and_says_so() -> None:
    found = told((0.2, workspace()), (0.5, obj("Job", "j", "batch/v1", owner=OWNER)), pod(2.1, ("train", 2, None, 0)))
    for name, began in (("workspace default/phi", 0.2), ("tuning the-j", 0.5), ("train", 2.1)):
        assert times(found[name]) == (began, 2.1)
        assert found[name].attributes["kaito.goes_on"] is True


def test_what_cannot_go_on_says_why() -> None:
    labels = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}
    none = statuses(Ready=("False", 3, "no cores left of this family"))
    claim = obj("Machine", "m", "karpenter.sh/v1alpha5", labels=labels, status=none)
    found = told((0.2, workspace()), (3.5, claim), (4, workspace(WorkspaceReady=("False", 4, "no cores left"))))
    assert found["node the-m"].failure == "no cores left of this family"
    assert found["workspace default/phi"].failure == "no cores left"


def gang(ready: int, revision: str) -> Object:
    status = {"updateRevision": revision, "readyReplicas": ready, "updatedReplicas": 2}
    return obj("StatefulSet", "s", "apps/v1", owner=OWNER, spec={"replicas": 2}, status=status)


def test_a_gang_is_ready_when_all_its_pods_are_anew_for_each_revision() -> None:
    found = told(
        (0.2, workspace()),
        (1.2, gang(0, "r1")),
        (8, gang(1, "r1")),
        (9, gang(2, "r1")),
        (20, gang(0, "r2")),
        (31, gang(2, "r2")),
    )
    assert times(found["pod start r1"]) == (1.0, 9.0)
    assert times(found["pod start r2"]) == (20.0, 31.0)


def test_a_time_in_whole_seconds_is_put_where_it_was_seen_within_that_second() -> None:
    assert settled(said(3), at(3.4)) == at(3.4)
    assert settled(said(3), at(9)) == at(4), "no later than that second"
    assert settled(said(3), at(2)) == at(3), "another clock's"
    assert settled("", at(2)) == at(2)
    assert settled("soon", at(2)) == at(2)
