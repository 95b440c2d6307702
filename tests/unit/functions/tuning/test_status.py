"""What is said of a tuning: its conditions, the state, and how far it has come."""

from __future__ import annotations

from typing import Any

import pytest

from functions.tuning.stages import Failure, Standing
from functions.tuning.status import awaiting, facts, failed, milestones, overall, started
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from tests.unit.functions.tuning.scenes import DIGEST, NOW, TO_IMAGE, workspace

BROKE = Failure("train", "ContainerFailed", "a line broke.")
RESOURCE = Condition(type="ResourceReady", status="False", reason="Quota", message="none left")
DONE = Standing("Succeeded", digest=DIGEST)
#: What names the tuning.
ASKED = "a1"


def parsed(obj: Object | None = None, **tuning: Any) -> Workspace:
    obj = obj or workspace()
    if tuning:
        obj["status"]["tuning"] = tuning
    return Workspace.model_validate(obj)


@pytest.mark.parametrize(
    ("stood", "status", "reason", "message"),
    [
        (Standing("", waits="0/1 nodes"), "Unknown", "Starting", "0/1 nodes"),
        (Standing("", "fetch"), "True", "FetchingData", "what the tuning needs is being fetched"),
        (Standing("", "train"), "True", "Training", "the model is being trained"),
        (Standing("", "push"), "True", "PushingAdapter", "the adapter is being pushed"),
        (
            Standing("", "train", failure=BROKE),
            "True",
            "Training",
            "the model is being trained (again: the last try failed with ContainerFailed, train: a line broke.)",
        ),
        (
            Standing("", waits="its next pod is being made", failure=BROKE),
            "Unknown",
            "Retrying",
            "the last try failed with ContainerFailed, train: a line broke.; its next pod is being made",
        ),
        (
            Standing("Failed", failure=BROKE),
            "False",
            "ContainerFailed",
            "train: a line broke. Change tuning, or its ConfigMap, and it is tried anew.",
        ),
        (DONE, "True", "Succeeded", f"the adapter is in example.com/adapters/poems:1, digest {DIGEST}"),
        (Standing("Succeeded"), "True", "Succeeded", "the adapter is in example.com/adapters/poems:1"),
    ],
)
def test_a_job_is_told_by_what_it_does(stood: Standing, status: str, reason: str, message: str) -> None:
    it = started(parsed(), stood, None)
    assert (it.type, it.status, it.reason, it.message) == ("JobStarted", status, reason, message)
    assert it.observed_generation == 1


def test_what_is_left_on_a_volume_is_told_by_its_folder() -> None:
    obj = workspace(output={"volumeSource": {"persistentVolumeClaim": {"claimName": "adapters"}}})
    assert started(parsed(obj), Standing("Succeeded"), None).message == (
        "the adapter is in the folder adapter of tuning.output.volumeSource"
    )


def test_training_tells_how_far_it_is() -> None:
    progress = {"step": 30, "steps": 100, "loss": 1.23456, "eval_loss": None, "remaining": 75.4}
    message = started(parsed(), Standing("", "train"), progress).message
    assert message == "the model is being trained: step 30 of 100, loss 1.2346, 1m15s left"
    assert started(parsed(), Standing("", "train"), {"step": 0, "steps": 9}).message.endswith("step 0 of 9")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.6, "1m0s"), (61, "1m1s"), (3600, "1h0m"), (7384, "2h3m")])
def test_what_remains_is_a_duration(seconds: float, text: str) -> None:
    said = facts(parsed(), *_conditions(Standing("", "train")), Standing("", "train"), {"remaining": seconds}, ASKED)
    assert said["tuning"]["remaining"] == text


@pytest.mark.parametrize(
    ("resource", "job", "stood", "expected"),
    [
        (None, awaiting(parsed(), "WaitingForNodes", "m"), None, ("Unknown", "WaitingForNodes", "JobStarted: m")),
        (RESOURCE, awaiting(parsed(), "WaitingForNodes", "m"), None, ("False", "Quota", "ResourceReady: none left")),
        (RESOURCE, failed(parsed(), "NameTaken", "m"), None, ("False", "NameTaken", "JobStarted: m")),
        (
            RESOURCE,
            started(parsed(), Standing("", "train"), None),
            Standing("", "train"),
            ("Unknown", "Training", "JobStarted: the model is being trained"),
        ),
        (
            RESOURCE,
            started(parsed(), Standing("Succeeded"), None),
            Standing("Succeeded"),
            ("True", "WorkspaceReady", "the adapter is in example.com/adapters/poems:1"),
        ),
    ],
    ids=["waits", "no nodes", "refused", "runs", "succeeded"],
)
def test_the_sum_is_true_once_it_is_tuned_whatever_becomes_of_the_nodes(
    resource: Condition | None, job: Condition, stood: Standing | None, expected: tuple[str, str, str]
) -> None:
    ready, succeeded = overall(parsed(), resource, job, stood)
    assert (ready.status, ready.reason, ready.message) == expected
    assert succeeded == ready.model_copy(update={"type": "WorkspaceSucceeded"})


def _conditions(stood: Standing | None) -> tuple[Condition, Condition]:
    job = awaiting(parsed(), "WaitingForNodes", "m") if stood is None else started(parsed(), stood, None)
    return job, overall(parsed(), None, job, stood)[0]


@pytest.mark.parametrize(
    ("stood", "state"),
    [
        (None, "Pending"),
        (Standing("", waits="m"), "Pending"),
        (Standing("", "fetch"), "Running"),
        (Standing("Succeeded"), "Succeeded"),
        (Standing("Failed"), "Failed"),
    ],
)
def test_the_state_is_one_word_for_it(stood: Standing | None, state: str) -> None:
    assert facts(parsed(), *_conditions(stood), stood, None, ASKED)["state"] == state


def said(stood: Standing, progress: Object | None, state: str, before: Object) -> Object:
    """Of how far it has come, where the status says ``state`` and ``before``."""
    obj = workspace()
    obj["status"]["state"] = state
    found: Object = facts(parsed(obj, **{"asked": ASKED, **before}), *_conditions(stood), stood, progress, ASKED)
    assert found["tuning"].pop("asked") == ASKED
    tuning: Object = found.get("tuning", {})
    return tuning


def test_numbers_are_told_as_they_come() -> None:
    progress = {"step": 3, "steps": 9, "loss": 1.0, "eval_loss": 2.0, "remaining": 6.0, "epoch": 0.3}
    expected = {"step": 3, "steps": 9, "loss": "1.0000", "evalLoss": "2.0000", "remaining": "6s", "stage": "train"}
    assert said(Standing("", "train"), progress, "Running", {}) == expected


def test_what_was_reached_stays_but_for_what_remained() -> None:
    before = {"step": 3, "steps": 9, "loss": "1.0000", "remaining": "6s", "stage": "train"}
    assert said(Standing("", "train"), None, "Running", before) == {
        "step": 3,
        "steps": 9,
        "loss": "1.0000",
        "stage": "train",
    }
    assert said(Standing("", "push"), None, "Running", before) == {
        "step": 3,
        "steps": 9,
        "loss": "1.0000",
        "stage": "push",
    }
    assert said(Standing("Failed"), None, "Running", before) == {"step": 3, "steps": 9, "loss": "1.0000"}


def test_what_succeeded_has_done_all_steps_and_names_its_image() -> None:
    expected = {"step": 9, "steps": 9, "digest": DIGEST, "image": TO_IMAGE["image"]}
    assert said(DONE, None, "Running", {"step": 8, "steps": 9}) == expected


def test_the_digest_stays_when_the_pod_is_gone_with_its_node() -> None:
    kept = {"digest": DIGEST, "image": TO_IMAGE["image"]}
    assert said(Standing("Succeeded"), None, "Succeeded", kept) == kept
    obj = workspace()
    assert f"digest {DIGEST}" in started(parsed(obj, **kept), Standing("Succeeded"), None).message


@pytest.mark.parametrize("state", ["Succeeded", "Failed", "Running"])
def test_nothing_stays_of_another_tuning(state: str) -> None:
    before = {"asked": "another", "step": 9, "steps": 9, "evalLoss": "1.0000", "digest": DIGEST, "image": "a:1"}
    assert said(Standing("", "fetch"), None, state, before) == {"stage": "fetch"}


def told(step: int, steps: int, before: int = 0) -> list[Object]:
    """``before``: what the status says."""
    obj = workspace()
    obj["status"]["tuning"] = {"step": before, "steps": steps}
    return list(milestones(obj, {"metadata": {"uid": "j1"}}, {"step": step, "steps": steps, "loss": 1.0}, NOW))


def test_each_tenth_is_told_as_an_event() -> None:
    (event,) = told(35, 100)
    assert (event["type"], event["reason"]) == ("Normal", "TuningProgress")
    assert event["message"] == "step 35 of 100, loss 1.0000"
    assert event["involvedObject"]["uid"] == workspace()["metadata"]["uid"]


def test_a_tenth_is_told_once() -> None:
    assert told(35, 100)[0]["metadata"]["name"] == told(39, 100)[0]["metadata"]["name"]
    assert told(35, 100)[0]["metadata"]["name"] != told(40, 100)[0]["metadata"]["name"]
    assert told(39, 100, before=35) == []
    assert len(told(40, 100, before=35)) == 1


@pytest.mark.parametrize(("step", "steps"), [(0, 0), (0, 100), (9, 100)])
def test_before_the_first_tenth_nothing_is_told(step: int, steps: int) -> None:
    assert told(step, steps) == []
