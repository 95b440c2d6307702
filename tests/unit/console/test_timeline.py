"""The stages of a Workspace, from what its conditions and its server say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from console.states import State
from console.timeline import timeline
from kaito.api.conditions import rfc3339
from kaito.api.resources import Object

MADE = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return MADE + timedelta(seconds=seconds)


def workspace(does: str = "inference", status: Object | None = None, **said: tuple[str, int, str]) -> Object:
    """``said``: by condition, its status, since when, and its message."""
    conditions = [
        {"type": kind, "status": value, "lastTransitionTime": rfc3339(after(since)), "message": message}
        for kind, (value, since, message) in said.items()
    ]
    meta = {"name": "phi", "namespace": "default", "creationTimestamp": rfc3339(MADE)}
    return {"metadata": meta, does: {}, "status": {"conditions": conditions, **(status or {})}}


def stages(obj: Object, *before: State) -> list[tuple[Any, ...]]:
    """Name, begin and end in seconds, and how it stands."""
    return [
        (it.name, (it.began - MADE).total_seconds(), it.ended and (it.ended - MADE).total_seconds(), it.standing)
        for it in timeline(obj, before)
    ]


def test_one_that_nobody_has_seen() -> None:
    (only,) = timeline(workspace())
    assert (only.name, only.standing, only.note) == ("nodes", "now", "no function has seen it")


def test_nodes_that_are_awaited_and_such_that_cannot_be_had() -> None:
    assert stages(workspace(ResourceReady=("Unknown", 1, ""))) == [("nodes", 0, None, "now")]
    failed = workspace(ResourceReady=("False", 5, "no quota"))
    assert stages(failed) == [("nodes", 0, 5, "failed")]
    assert [it.note for it in timeline(failed)] == ["no quota"]


def test_a_server_that_starts_and_one_that_cannot() -> None:
    nodes = ("nodes", 0, 60, "done")
    starts = workspace(ResourceReady=("True", 60, "n1"), InferenceReady=("Unknown", 1, ""))
    assert stages(starts) == [nodes, ("server", 60, None, "now")]
    fails = workspace(ResourceReady=("True", 60, "n1"), InferenceReady=("False", 70, "ImagePullBackOff"))
    assert stages(fails) == [nodes, ("server", 60, 70, "failed")]


def test_a_ready_one_has_the_stages_of_its_server() -> None:
    startup = {"stages": [{"name": "load", "duration": "20s"}, {"name": "warm", "duration": "1.5s"}]}
    said: dict[str, Any] = {"ResourceReady": ("True", 60, "n1"), "InferenceReady": ("True", 100, "answers")}
    assert stages(workspace(status={"startup": startup}, **said)) == [
        ("nodes", 0, 60, "done"),
        ("pod", 60, 78.5, "done"),
        ("load", 78.5, 98.5, "done"),
        ("warm", 98.5, 100, "done"),
        ("ready", 100, None, "ready"),
    ]
    assert [it[0] for it in stages(workspace(**said))] == ["nodes", "pod", "ready"], "where its server has not said"


def test_nodes_that_came_again_under_a_server_that_answered_before() -> None:
    found = stages(workspace(ResourceReady=("True", 500, "n2"), InferenceReady=("True", 100, "")))
    assert all(end is None or begin <= end for _, begin, end, _ in found if _ != "pod")
    assert found[-1] == ("ready", 100, None, "ready")


def tuning(stage: str, at: float, asked: str = "a", **said: tuple[str, int, str]) -> State:
    told = {"tuning": {"asked": asked, "stage": stage}}
    return State(after(at), workspace("tuning", told, ResourceReady=("True", 10, ""), **said))


def test_a_tuning_has_the_stages_that_were_seen() -> None:
    before = tuning("fetch", 5, "another"), tuning("check", 12), tuning("fetch", 20), tuning("train", 30)
    running = tuning("train", 35, JobStarted=("True", 12, "training"))
    begun = [("nodes", 0, 10, "done"), ("check", 10, 20, "done"), ("fetch", 20, 30, "done")]
    assert stages(running.object, *before, running) == [*begun, ("train", 30, None, "now")]
    done = tuning("push", 90, JobStarted=("True", 12, ""), WorkspaceReady=("True", 95, "pushed"))
    assert stages(done.object, *before, done) == [
        *begun,
        ("train", 30, 90, "done"),
        ("push", 90, 95, "done"),
        ("ready", 95, None, "ready"),
    ]
    failed = tuning("train", 40, JobStarted=("False", 50, "out of memory"))
    assert stages(failed.object, *before, failed)[-1] == ("train", 30, 50, "failed")
    assert timeline(failed.object, (*before, failed))[-1].note == "out of memory"


def test_a_tuning_that_was_not_recorded() -> None:
    told = workspace("tuning", ResourceReady=("True", 10, ""), JobStarted=("True", 12, "training"))
    assert stages(told) == [("nodes", 0, 10, "done"), ("job", 10, None, "now")]


def test_one_that_goes_keeps_what_was_over() -> None:
    obj = workspace(ResourceReady=("True", 60, "n1"), InferenceReady=("Unknown", 60, ""))
    obj["metadata"]["deletionTimestamp"] = rfc3339(after(70))
    assert stages(obj) == [("nodes", 0, 60, "done"), ("deleting", 70, None, "now")]
