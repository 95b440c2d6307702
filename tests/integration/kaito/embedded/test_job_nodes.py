"""The pods of Jobs as processes: their Nodes and GPUs, and a platform that is stopped and started again."""

from __future__ import annotations

from typing import Any

from kaito.api.resources import JOB, NODE, Object
from tests.integration.kaito.embedded.conftest import Platform
from tests.integration.kaito.embedded.jobs import Jobs, alive, conditions, phase_of, states, until

GPU: dict[str, Any] = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}


def unschedulable(jobs: Jobs, job: str) -> Object | None:
    """The condition of a pod that waits for a Node."""
    found = [conditions(pod).get("PodScheduled", {}) for pod in jobs.pods(job)]
    return next((it for it in found if it.get("reason") == "Unschedulable"), None)


def test_pods_wait_for_a_gpu_and_for_one_another(jobs: Jobs, platform: Platform) -> None:
    platform.gpu_device.touch()
    train = jobs.program("train", "say('begun'); when((here / 'go').exists); say('ended')", **GPU)
    jobs.make("one", train, jobs.program("push", ""), nodeSelector={"tests": jobs.namespace})
    assert "available" in until(lambda: unschedulable(jobs, "one"))["message"]
    node = jobs.node("a", gpus=1)
    until(lambda: jobs.said() == ["begun"])
    jobs.make("two", train, jobs.program("push", ""), nodeSelector={"tests": jobs.namespace})
    assert "1 Insufficient nvidia.com/gpu" in until(lambda: unschedulable(jobs, "two"))["message"]
    (jobs.here / "go").touch()
    for job in ("one", "two"):
        jobs.finished(job)
        (pod,) = jobs.pods(job)
        assert pod["spec"]["nodeName"] == node
        assert conditions(pod)["PodScheduled"]["status"] == "True"
    assert jobs.said() == ["begun", "ended", "begun", "ended"]


def test_a_machine_without_a_gpu_says_so(jobs: Jobs, platform: Platform) -> None:
    jobs.node("a", gpus=1)
    jobs.make("train", jobs.program("main", "", **GPU), nodeSelector={"tests": jobs.namespace})
    assert "there is no NVIDIA GPU here: use a cluster that has GPU nodes" in jobs.waiting("train", "GpuMissing")
    platform.gpu_device.touch()
    jobs.finished("train")


def test_a_pod_is_run_from_its_start_when_the_platform_is(jobs: Jobs, platform: Platform) -> None:
    platform.gpu_device.touch()
    jobs.node("a", gpus=1)
    shared: dict[str, Any] = {"volumeMounts": [{"name": "shared", "mountPath": "/mnt/shared"}]}
    jobs.make(
        "long",
        jobs.program("first", "pathlib.Path('/mnt/shared/a').mkdir(); when((here / 'first').exists)", **shared),
        jobs.program("main", "say(str(os.getpid())); when((here / 'main').exists)", **GPU),
        volumes=[{"name": "shared", "emptyDir": {}}],
        nodeSelector={"tests": jobs.namespace},
    )
    (jobs.here / "first").touch()
    before = jobs.pod("long", "Running")
    assert states(before) == {"first": "terminated 0", "main": "running"}
    pid = int(until(jobs.said)[0])
    platform.stop()
    assert not alive(pid)
    assert [phase_of(pod) for pod in jobs.pods("long")] == ["Running"]
    (jobs.here / "first").unlink()
    platform.start()
    until(lambda: states(jobs.pods("long")[0]) == {"first": "running", "main": "waiting"})
    (jobs.here / "first").touch()
    until(lambda: states(jobs.pods("long")[0]) == {"first": "terminated 0", "main": "running"})
    (jobs.here / "main").touch()
    jobs.finished("long")
    (after,) = jobs.pods("long")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert len(jobs.said()) == 2


def test_what_was_deleted_while_the_platform_was_away_is_not_run_again(jobs: Jobs, platform: Platform) -> None:
    jobs.node("a")
    jobs.make(
        "long", jobs.program("main", "say('ran'); threading.Event().wait()"), nodeSelector={"tests": jobs.namespace}
    )
    until(jobs.said)
    platform.stop()
    jobs.kube.delete(JOB, "long", jobs.namespace)
    until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in jobs.pods("long")))
    platform.start()
    until(lambda: not jobs.pods("long"))
    assert jobs.said() == ["ran"]


def test_a_node_that_goes_takes_its_pod_with_it(jobs: Jobs) -> None:
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    jobs.node("a")
    jobs.make(
        "moves",
        jobs.program("main", "say(str(os.getpid())); when((here / 'go').exists)"),
        job={"podFailurePolicy": {"rules": [ignore]}},
        nodeSelector={"tests": jobs.namespace},
    )
    first = jobs.pod("moves", "Running")["metadata"]["uid"]
    pid = int(until(jobs.said)[0])
    other = jobs.node("b")
    jobs.kube.delete(NODE, f"{jobs.namespace}-a")
    until(lambda: first not in [pod["metadata"]["uid"] for pod in jobs.pods("moves")], 15)
    assert not alive(pid)
    (jobs.here / "go").touch()
    jobs.finished("moves")
    (pod,) = jobs.pods("moves")
    assert pod["spec"]["nodeName"] == other


def test_a_node_that_went_while_the_platform_was_away_takes_its_pod_with_it(jobs: Jobs, platform: Platform) -> None:
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    jobs.node("a")
    jobs.make(
        "moves",
        jobs.program("main", "say('ran'); when((here / 'go').exists)"),
        job={"podFailurePolicy": {"rules": [ignore]}},
        nodeSelector={"tests": jobs.namespace},
    )
    until(jobs.said)
    platform.stop()
    jobs.kube.delete(NODE, f"{jobs.namespace}-a")
    jobs.node("b")
    platform.start()
    until(lambda: len(jobs.said()) == 2, 60)
    (jobs.here / "go").touch()
    jobs.finished("moves")
    assert jobs.said() == ["ran", "ran"]
