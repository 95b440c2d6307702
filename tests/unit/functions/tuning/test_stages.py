"""Where a Job stands, by what its controller and kubelets say."""

from __future__ import annotations

import json

import pytest

from functions.tuning.stages import Failure, Standing, standing
from kaito.api.resources import Object
from tests.unit.functions.tuning.scenes import (
    COMPLETE,
    DIGEST,
    DONE,
    FAILED,
    INITIALIZING,
    PUSHED,
    RUNNING,
    ended,
    job,
    pod,
)

HOST = "10.0.0.7"
BACK_OFF = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
EVICTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}]
STARTED = "its pod is being started"


def words(reason: str, message: str, *, permanent: bool = True) -> str:
    return json.dumps({"stage": "x", "reason": reason, "message": message, "permanent": permanent})


@pytest.mark.parametrize(
    ("pods", "stage", "waits"),
    [
        ([], "", "its pod is being made"),
        ([pod()], "", STARTED),
        ([pod(INITIALIZING, INITIALIZING, INITIALIZING)], "", STARTED),
        ([pod(conditions=UNSCHEDULABLE)], "", "0/1 nodes"),
        ([pod(RUNNING, INITIALIZING, INITIALIZING)], "fetch", ""),
        ([pod(RUNNING, containers=("pull-model", "train"))], "fetch", ""),
        ([pod(DONE, RUNNING, containers=("pull-model", "pull-data", "train"))], "fetch", ""),
        ([pod(DONE, INITIALIZING, INITIALIZING)], "train", ""),
        ([pod(DONE, RUNNING, INITIALIZING)], "train", ""),
        ([pod(DONE, DONE, INITIALIZING)], "push", ""),
        ([pod(DONE, DONE, RUNNING, phase="Running")], "push", ""),
        ([pod(DONE, DONE, PUSHED, phase="Succeeded")], "push", ""),
        ([pod(RUNNING, phase="Running", containers=("train",))], "train", ""),
        ([pod(BACK_OFF, INITIALIZING, INITIALIZING)], "", "fetch: ImagePullBackOff: no such image"),
        ([pod(DONE, DONE, BACK_OFF)], "", "push: ImagePullBackOff: no such image"),
        ([pod(ended(1), INITIALIZING)], "", "its next pod is being made"),
    ],
)
def test_the_stage_is_the_container_that_runs_or_comes_next(pods: list[Object], stage: str, waits: str) -> None:
    stood = standing(job(), pods)
    assert (stood.outcome, stood.stage, stood.waits, stood.failure) == ("", stage, waits, None)


@pytest.mark.parametrize(
    ("failed", "failure"),
    [
        (
            pod(ended(65, words("DownloadFailed", "404 at example.com")), INITIALIZING),
            Failure("fetch", "DownloadFailed", "404 at example.com"),
        ),
        (pod(DONE, ended(65, words("DataInvalid", "no column"))), Failure("train", "DataInvalid", "no column")),
        (pod(DONE, ended(65, '{"message": "m"}')), Failure("train", "Failed", "m")),
        (pod(DONE, ended(1, "Traceback: oh no\n")), Failure("train", "ContainerFailed", "Traceback: oh no")),
        (pod(DONE, ended(1, '["no map"]')), Failure("train", "ContainerFailed", '["no map"]')),
        (pod(DONE, ended(1, '{"other": 1}')), Failure("train", "ContainerFailed", '{"other": 1}')),
        (
            pod(DONE, ended(2)),
            Failure("train", "ContainerFailed", "exit code 2: see kubectl logs poems-a -c train"),
        ),
        (pod(DONE, DONE, ended(65, words("Unauthorized", "no"))), Failure("push", "Unauthorized", "no")),
        (pod(DONE, ended(137, words("CUDAOutOfMemory", "m"))), Failure("train", "CUDAOutOfMemory", "m")),
        (pod(reason="Evicted", message="The node was low on disk"), Failure("", "Evicted", "The node was low on disk")),
        (pod(), Failure("", "PodFailed", "its pod failed")),
        (pod(DONE, ended(137), conditions=EVICTED), Failure("", "EvictionByEvictionAPI", "drained")),
        (
            pod(DONE, ended(137, reason="OOMKilled"), conditions=EVICTED),
            Failure("", "EvictionByEvictionAPI", "drained"),
        ),
    ],
)
def test_a_failure_is_told_in_the_words_of_who_failed(failed: Object, failure: Failure) -> None:
    failed["status"]["phase"] = "Failed"
    assert standing(job(FAILED), [failed]).failure == failure
    assert standing(job(), [failed]) == Standing("", waits="its next pod is being made", failure=failure, host=HOST)


@pytest.mark.parametrize(
    ("state", "stage", "advice"),
    [
        (ended(137, reason="OOMKilled"), "train", "per_device_train_batch_size to 1"),
        (ended(1, reason="OOMKilled"), "train", "per_device_train_batch_size to 1"),
        (ended(137), "train", "per_device_train_batch_size to 1"),
        (ended(137, words("Killed", "m", permanent=False)), "train", "per_device_train_batch_size to 1"),
        (ended(137, reason="OOMKilled"), "push", "to push: take an instanceType with more"),
        (ended(137, reason="OOMKilled"), "fetch", "to fetch: take an instanceType with more"),
        (ended(137, reason="OOMKilled"), "pull-model", "to fetch: take an instanceType with more"),
    ],
)
def test_too_little_memory_is_told_with_what_to_do(state: Object, stage: str, advice: str) -> None:
    failure = standing(job(FAILED), [pod(state, phase="Failed", containers=(stage, "last"))]).failure
    assert failure is not None
    assert (failure.stage, failure.reason) == (stage.replace("pull-model", "fetch"), "OutOfMemory")
    assert advice in failure.message


def test_a_retry_runs_and_what_failed_before_is_known() -> None:
    before = pod(ended(1, "line broke"), phase="Failed", name="poems-z", created="2026-11-23T12:00:00Z")
    now = pod(DONE, RUNNING, name="poems-a", created="2026-11-23T12:01:00Z")
    stood = standing(job(), [now, before])
    assert (stood.stage, stood.failure) == ("train", Failure("fetch", "ContainerFailed", "line broke"))


def test_of_pods_that_failed_the_latest_tells() -> None:
    pods = [
        pod(ended(1, said), phase="Failed", name=said, created=f"2026-11-23T12:0{minute}:00Z")
        for minute, said in ((2, "third"), (0, "first"), (1, "second"))
    ]
    failure = standing(job(FAILED), pods).failure
    assert failure is not None
    assert failure.message == "third"


def test_pods_of_a_job_before_do_not_count() -> None:
    assert standing(job(), [pod(DONE, RUNNING, owner="j0")]) == Standing("", waits="its pod is being made")


def test_one_that_is_complete_tells_what_was_pushed() -> None:
    stood = standing(job(COMPLETE), [pod(DONE, DONE, PUSHED, phase="Succeeded")])
    assert (stood.outcome, stood.stage, stood.digest, stood.failure) == ("Succeeded", "", DIGEST, None)


def test_one_that_is_complete_needs_no_pods() -> None:
    assert standing(job(COMPLETE), []).outcome == "Succeeded"


def test_one_that_failed_without_pods_is_told_in_its_own_words() -> None:
    stood = standing(job(FAILED), [])
    assert stood.outcome == "Failed"
    assert stood.failure == Failure("", "BackoffLimitExceeded", "Job has reached the specified backoff limit")


def test_a_condition_that_is_not_true_is_no_outcome() -> None:
    assert standing(job({**FAILED, "status": "False"}, {"type": "Suspended", "status": "True"}), []).outcome == ""
