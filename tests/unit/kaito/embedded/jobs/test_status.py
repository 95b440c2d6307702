from __future__ import annotations

from typing import Any

from kaito.api.resources import Object
from kaito.embedded.jobs.status import PodStatus, is_over

SINCE = "2026-01-01T00:00:00Z"


def status() -> PodStatus:
    spec = {"initContainers": [{"name": "first", "image": "a"}], "containers": [{"name": "main", "image": "b"}]}
    return PodStatus({"metadata": {"name": "pod"}, "spec": spec}, "127.64.0.1")


def containers(made: Object) -> dict[str, Any]:
    return {it["name"]: it for it in (*made.get("initContainerStatuses", ()), *made.get("containerStatuses", ()))}


def conditions(made: Object) -> dict[str, str]:
    return {it["type"]: it["status"] for it in made["conditions"]}


def test_a_pod_that_is_created_waits_for_its_first_container() -> None:
    made = status().creating()
    assert (made["phase"], made["podIP"], made["podIPs"]) == ("Pending", "127.64.0.1", [{"ip": "127.64.0.1"}])
    assert {it["state"]["waiting"]["reason"] for it in containers(made).values()} == {"PodInitializing"}
    assert [it["image"] for it in containers(made).values()] == ["a", "b"]
    assert conditions(made) == {
        "PodScheduled": "True",
        "Initialized": "False",
        "ContainersReady": "False",
        "Ready": "False",
    }


def test_a_pod_runs_with_its_main_container_only() -> None:
    pod = status()
    made = pod.running("first", SINCE)
    assert (made["phase"], conditions(made)["Ready"], containers(made)["first"]["ready"]) == ("Pending", "False", True)
    assert pod.terminated("first", 0, "", SINCE)["phase"] == "Pending"
    made = pod.running("main", SINCE)
    assert made["phase"] == "Running"
    assert set(conditions(made).values()) == {"True"}
    assert containers(made)["main"]["started"]
    made = pod.terminated("main", 0, "all is well", SINCE)
    assert containers(made)["main"]["state"]["terminated"]["reason"] == "Completed"
    assert containers(made)["main"]["state"]["terminated"]["message"] == "all is well"
    assert not is_over({"status": made})
    assert is_over({"status": pod.succeeded()})


def test_a_container_that_fails_fails_its_pod_and_initializes_nothing() -> None:
    made = status().terminated("first", 65, "", SINCE)
    first = containers(made)["first"]
    assert made["phase"] == "Failed"
    assert conditions(made)["Initialized"] == "False"
    assert (first["ready"], first["state"]["terminated"]["reason"]) == (False, "Error")
    assert "message" not in first["state"]["terminated"]


def test_what_waits_says_for_what() -> None:
    made = status().waiting("main", "ImagePullBackOff", "push it")
    assert containers(made)["main"]["state"] == {"waiting": {"reason": "ImagePullBackOff", "message": "push it"}}
    (scheduled,) = status().unschedulable("no Node has room")["conditions"]
    assert (scheduled["status"], scheduled["reason"], scheduled["message"]) == (
        "False",
        "Unschedulable",
        "no Node has room",
    )


def test_what_is_run_again_first_says_nothing_of_its_containers() -> None:
    made = status().anew()
    assert (made["phase"], containers(made), conditions(made)) == ("Pending", {}, {"PodScheduled": "True"})


def test_what_ends_before_its_time_was_asked_to() -> None:
    pod = status()
    pod.running("first", SINCE)
    made = pod.ended(node=None)
    assert made["phase"] == "Failed"
    assert containers(made)["first"]["state"]["terminated"]["exitCode"] == 143
    assert "DisruptionTarget" not in conditions(made)


def test_a_pod_whose_node_went_says_so_whether_it_ran_or_not() -> None:
    waits, runs = status(), status()
    runs.running("first", SINCE)
    for pod in (waits, runs):
        made = pod.ended(node="n")
        said = next(it for it in made["conditions"] if it["type"] == "DisruptionTarget")
        assert (said["status"], said["reason"]) == ("True", "DeletionByPodGC")
        assert said["message"] == "PodGC: node n no longer exists"


def test_a_conditions_time_moves_with_its_status_only(monkeypatch: Any) -> None:
    times = iter(["1", "2", "3", "4", "5", "6", "7", "8"])
    monkeypatch.setattr("kaito.embedded.jobs.status._now", lambda: next(times))
    pod = status()
    first = {it["type"]: it["lastTransitionTime"] for it in pod.creating()["conditions"]}
    second = {it["type"]: it["lastTransitionTime"] for it in pod.running("first", SINCE)["conditions"]}
    assert first == second
    pod.terminated("first", 0, "", SINCE)
    third = {it["type"]: it["lastTransitionTime"] for it in pod.running("main", SINCE)["conditions"]}
    assert {kind for kind, time in third.items() if time != first[kind]} == {"Initialized", "ContainersReady", "Ready"}


def test_only_what_succeeded_or_failed_is_over() -> None:
    phases = ("", "Pending", "Running", "Unknown", "Succeeded", "Failed")
    assert [phase for phase in phases if is_over({"status": {"phase": phase}})] == ["Succeeded", "Failed"]
    assert not is_over({})
