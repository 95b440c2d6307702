"""The decision about a Workspace that tunes: its life step by step, and what may come between."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest

from functions.tuning.observed import Observed
from functions.tuning.reconcile import PERIOD, refused
from kaito.api.resources import Object
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Delete, Effect, Plan, Refused, Tell
from tests.unit.functions.tuning.scenes import (
    COMPLETE,
    DIGEST,
    DONE,
    FAILED,
    INITIALIZING,
    LORA,
    NOW,
    PUSHED,
    RUNNING,
    SETTINGS,
    TRAINING,
    UID,
    applied,
    config,
    decide,
    ended,
    job,
    pod,
    says,
    status,
    words,
    workspace,
    written,
)

WAITS = ("Unknown", "WaitingForNodes")
PROGRESS: Object = {"step": 35, "steps": 100, "loss": 1.5, "eval_loss": None, "remaining": 90.0}


def deletes(plan: Plan) -> list[tuple[str, str]]:
    return [(e.kind.kind, e.uid) for e in plan.effects if isinstance(e, Delete)]


def kinds(plan: Plan) -> list[str]:
    """What is applied, in order."""
    return [f"{e.object['kind']}{'/status' * bool(e.subresource)}" for e in plan.effects if isinstance(e, Apply)]


def tuned() -> Observed:
    """One that has succeeded, with its status written."""
    made = job(COMPLETE)
    observed = Observed(workspace(), made, (pod(DONE, DONE, PUSHED, phase="Succeeded"),), config())
    assert observed.workspace is not None
    return replace(observed, workspace=written(observed.workspace, decide(observed)))


def test_one_that_is_gone_needs_nothing() -> None:
    assert decide(Observed(None)) == Plan()


def test_a_life_step_by_step() -> None:
    obj = workspace(resource=None)
    new = decide(Observed(obj))
    assert kinds(new) == ["Workspace/status"]
    assert says(new) == dict.fromkeys(("JobStarted", "WorkspaceReady", "WorkspaceSucceeded"), WAITS)
    assert status(new)["state"] == "Pending"
    assert not new.settled

    obj = written(workspace(), new)
    ready = decide(Observed(obj))
    assert kinds(ready) == ["ConfigMap", "Job", "Workspace/status"]
    assert says(ready)["JobStarted"] == ("Unknown", "Starting")

    obj, made = written(obj, ready), job()
    fetches = decide(Observed(obj, made, (pod(RUNNING, INITIALIZING, INITIALIZING),), config()))
    assert kinds(fetches) == ["Workspace/status"]
    assert says(fetches)["JobStarted"] == ("True", "FetchingData")
    assert says(fetches)["WorkspaceReady"] == ("Unknown", "FetchingData")
    assert status(fetches)["state"] == "Running"

    obj = written(obj, fetches)
    trains = decide(Observed(obj, made, (TRAINING,), config(), PROGRESS))
    assert says(trains)["JobStarted"] == ("True", "Training")
    assert status(trains)["tuning"] == {
        "asked": ANY, "stage": "train", "step": 35, "steps": 100, "loss": "1.5000", "remaining": "1m30s",
    }  # fmt: skip
    assert [e.event["reason"] for e in trains.effects if isinstance(e, Tell)] == ["TuningProgress", "Training"]
    assert (trains.requeue_after, trains.settled) == (PERIOD, False)

    obj = written(obj, trains)
    pushes = decide(Observed(obj, made, (pod(DONE, DONE, RUNNING),), config()))
    assert says(pushes)["JobStarted"] == ("True", "PushingAdapter")

    obj, made = written(obj, pushes), job(COMPLETE)
    done = decide(Observed(obj, made, (pod(DONE, DONE, PUSHED, phase="Succeeded"),), config()))
    assert says(done) == {
        "JobStarted": ("True", "Succeeded"),
        "WorkspaceReady": ("True", "WorkspaceReady"),
        "WorkspaceSucceeded": ("True", "WorkspaceReady"),
    }
    assert status(done)["state"] == "Succeeded"
    assert status(done)["tuning"] == {
        "asked": ANY, "step": 100, "steps": 100, "loss": "1.5000", "digest": DIGEST,
        "image": "example.com/adapters/poems:1",
    }  # fmt: skip
    assert (done.requeue_after, done.settled) == (None, True)


def test_one_whose_job_is_cleared_away_stays_tuned() -> None:
    assert decide(replace(tuned(), job=None, pods=())) == Plan()
    other = replace(tuned(), job=None, pods=(), config=config(LORA + "# mine\n"))
    assert [it.object["kind"] for it in decide(other).effects if isinstance(it, Apply) and not it.subresource] == [
        "Job"
    ]


def test_one_that_is_tuned_plans_nothing() -> None:
    assert decide(tuned()) == Plan()


@pytest.mark.parametrize("lost", ["node", "pod"])
def test_it_stays_tuned_when_what_tuned_it_is_gone(lost: str) -> None:
    observed = tuned()
    assert observed.workspace is not None
    if lost == "pod":
        assert decide(replace(observed, pods=())) == Plan(), "its digest too"
    else:
        conditions = [
            {**it, "status": "Unknown"} if it["type"] == "ResourceReady" else it
            for it in observed.workspace["status"]["conditions"]
        ]
        obj = {**observed.workspace, "status": {**observed.workspace["status"], "conditions": conditions}}
        assert decide(replace(observed, workspace=obj)) == Plan()


def test_what_it_is_asked_again_tells_nothing_new() -> None:
    observed = Observed(workspace(), job(), (TRAINING,), config(), PROGRESS)
    assert observed.workspace is not None
    again = replace(observed, workspace=written(observed.workspace, decide(observed)))
    assert decide(again) == Plan(requeue_after=PERIOD, settled=False)


def test_its_status_leaves_the_nodes_to_the_workspace_function() -> None:
    plan = decide(Observed(workspace(), job(), (TRAINING,), config()))
    (effect,) = (e for e in plan.effects if isinstance(e, Apply))
    assert {"MachineReady", "ResourceReady", "workerNodes", "observedGeneration"} <= effect.beside
    assert {"state", "tuning", "JobStarted", "WorkspaceReady"}.isdisjoint(effect.beside)
    assert set(status(plan)) == {"state", "tuning", "conditions"}


@pytest.mark.parametrize(
    ("resource", "expected", "settled"),
    [
        (None, WAITS, False),
        (("Unknown", "WaitingForNodes"), WAITS, False),
        (("False", "InsufficientGPUs"), ("False", "InsufficientGPUs"), True),
    ],
)
def test_without_nodes_there_is_no_job(
    resource: tuple[str, str] | None, expected: tuple[str, str], settled: bool
) -> None:
    plan = decide(Observed(workspace(resource=resource)))
    assert kinds(plan) == ["Workspace/status"]
    assert says(plan)["WorkspaceReady"] == expected
    assert says(plan)["JobStarted"] == WAITS
    assert (plan.requeue_after, plan.settled) == (None, settled)


@pytest.mark.parametrize(("resource", "settled"), [(None, False), (("False", "UnknownPreset"), True)])
def test_what_the_catalogue_has_not_waits_for_the_workspace_functions_word(
    resource: tuple[str, str] | None, settled: bool
) -> None:
    plan = decide(Observed(workspace(preset={"name": "phi"}, resource=resource)))
    assert kinds(plan) == ["Workspace/status"]
    assert says(plan)["WorkspaceReady"] == (resource or WAITS)
    assert plan.settled == settled


class TestConfig:
    def test_the_template_is_put_there_before_the_job(self) -> None:
        plan = decide(Observed(workspace()))
        (made,) = applied(plan, "ConfigMap")
        assert made["metadata"]["name"] == "lora-params-template"
        assert made["data"] == {"training_config.yaml": LORA}
        assert kinds(plan)[:2] == ["ConfigMap", "Job"]

    def test_what_is_there_is_left_as_it_is(self) -> None:
        plan = decide(Observed(workspace(), config=config(LORA + "# mine\n")))
        assert kinds(plan) == ["Job", "Workspace/status"]

    @pytest.mark.parametrize(
        ("found", "reason"), [(None, "ConfigMissing"), (config("a: ["), "ConfigInvalid"), ({}, "ConfigInvalid")]
    )
    def test_one_that_is_named_and_cannot_be_had_is_said_and_looked_for(
        self, found: Object | None, reason: str
    ) -> None:
        plan = decide(Observed(workspace(config="mine"), config=found))
        assert kinds(plan) == ["Workspace/status"]
        assert says(plan)["WorkspaceReady"] == ("False", reason)
        assert status(plan)["state"] == "Failed"
        assert not plan.settled

    @pytest.mark.parametrize("state", [(), (COMPLETE,), (FAILED,)], ids=["runs", "succeeded", "failed"])
    def test_another_has_the_job_made_anew(self, state: tuple[Object, ...]) -> None:
        obj, other, made = workspace(), config(LORA + "# mine\n"), job(*state)
        plan = decide(Observed(obj, made, (TRAINING,), other, PROGRESS))
        assert deletes(plan) == [("Job", "j1")]
        assert applied(plan, "Job") == [], "a Job of that name is there until then"
        assert says(plan)["JobStarted"] == ("Unknown", "Replacing")
        assert (plan.requeue_after, plan.settled) == (None, False)

        made["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        assert deletes(decide(Observed(obj, made, (), other))) == []

        (anew,) = applied(decide(Observed(written(obj, plan), None, (), other)), "Job")
        assert anew["metadata"]["annotations"] != made["metadata"]["annotations"]

    def test_another_wish_has_the_job_made_anew(self) -> None:
        other = workspace(output={"image": "example.com/adapters/poems:2", "imagePushSecret": "push"})
        assert deletes(decide(Observed(other, job(), (TRAINING,), config()))) == [("Job", "j1")]

    def test_another_release_of_ours_has_not(self) -> None:
        released = replace(SETTINGS, training_image="kaito/training:9")
        plan = decide(Observed(workspace(), job(), (TRAINING,), config()), released)
        assert kinds(plan) == ["Workspace/status"]
        assert deletes(plan) == []

    def test_a_job_whose_mark_is_lost_is_made_anew(self) -> None:
        made = job()
        del made["metadata"]["annotations"]
        assert deletes(decide(Observed(workspace(), made, (), config()))) == [("Job", "j1")]


def foreign(**meta: Any) -> Object:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "poems", "namespace": "default", **meta}}


@pytest.mark.parametrize("owners", [[], [{"uid": "other"}]])
def test_a_job_of_somebody_else_is_not_taken_over(owners: list[Object]) -> None:
    plan = decide(Observed(workspace(), foreign(uid="x", ownerReferences=owners), (), config()))
    assert kinds(plan) == ["Workspace/status"]
    assert deletes(plan) == []
    assert says(plan)["WorkspaceReady"] == ("False", "NameTaken")
    assert "delete it, or give the Workspace another name" in words(plan)["JobStarted"]
    assert not plan.settled, "no event tells that it is gone"


def test_a_failure_is_told_and_over() -> None:
    broken = pod(DONE, ended(65, '{"reason": "DataInvalid", "message": "no column"}'), phase="Failed")
    plan = decide(Observed(workspace(), job(FAILED), (broken,), config()))
    assert says(plan)["WorkspaceReady"] == ("False", "DataInvalid")
    assert words(plan)["JobStarted"] == "train: no column. Change tuning, or its ConfigMap, and it is tried anew."
    assert [e.event["type"] for e in plan.effects if isinstance(e, Tell)] == ["Warning"]
    assert (plan.requeue_after, plan.settled) == (None, True)


class TestDeletion:
    def gone(self) -> Object:
        obj = copy.deepcopy(workspace())
        obj["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        return obj

    def test_the_job_goes_and_nothing_is_said(self) -> None:
        plan = decide(Observed(self.gone(), job()))
        assert deletes(plan) == [("Job", "j1")]
        assert kinds(plan) == []
        assert plan.settled

    def test_what_goes_or_is_gone_is_left_alone(self) -> None:
        going = job()
        going["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        assert decide(Observed(self.gone(), going)) == Plan()
        assert decide(Observed(self.gone())) == Plan()

    def test_a_job_of_somebody_else_stays(self) -> None:
        assert decide(Observed(self.gone(), foreign(uid="x"))) == Plan()


WRITE: Effect = Apply(foreign(), "the nodes are ready")


def test_a_refused_write_is_told_in_the_api_servers_words() -> None:
    plan = refused(Observed(workspace()), Refused(WRITE, KubeError(403, "Forbidden", "no rights")), NOW)
    assert says(plan)["JobStarted"] == ("False", "WriteRefused")
    assert says(plan)["WorkspaceReady"] == ("False", "WriteRefused")
    assert words(plan)["JobStarted"] == "apply Job poems: the nodes are ready: Forbidden: no rights"
    assert status(plan)["state"] == "Failed"
    assert not plan.settled


def test_nothing_is_told_of_one_that_is_gone() -> None:
    plan = refused(Observed(None), Refused(WRITE, KubeError(403, "Forbidden", "no rights")), NOW)
    assert plan == Plan(settled=False)


def test_the_job_is_owned_by_the_workspace() -> None:
    (owner,) = job()["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (UID, True)
