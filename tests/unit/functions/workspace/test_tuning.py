"""A Workspace that tunes, as the workspace function has it: its nodes are its own, all else the tuning function's."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from functions.workspace.history import digest
from functions.workspace.observed import Observed
from functions.workspace.reconcile import refused
from functions.workspace.settings import Settings
from functions.workspace.status import TUNING
from functions.workspace.work import Work, work
from kaito.api.refusal import Refusal
from kaito.api.resources import MACHINE, Object
from kaito.api.workspace import Workspace
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Delete, Mark, Plan, Refused, Tell
from tests.unit.functions.tuning.scenes import written
from tests.unit.functions.workspace.scenes import (
    CATALOGUE,
    MACHINE_NAME,
    NOW,
    applied,
    decide,
    machine,
    node,
    says,
    status,
    workspace,
)

READY = ((machine(ready=True),), (node(),))
TOLD = {"type": "WorkspaceReady", "status": "Unknown", "reason": "Training", "message": "m", "lastTransitionTime": "t"}
JOB = {**TOLD, "type": "JobStarted", "status": "True"}


def tunes(preset: str = "falcon-7b", instance_type: str = "Standard_NC6s_v3", **more: Any) -> Object:
    obj = workspace(preset, instance_type)
    del obj["inference"]
    obj["tuning"] = {
        "preset": {"name": preset, **more},
        "method": "lora",
        "input": {"urls": ["https://example.com/poems.jsonl"]},
        "output": {"image": "example.com/adapters/poems:1", "imagePushSecret": "push"},
    }
    obj["metadata"]["annotations"]["workspace.kaito.io/hash"] = digest(obj)
    return obj


def told(obj: Object) -> Object:
    """With what the tuning function says of it."""
    conditions = [*obj.get("status", {}).get("conditions", ()), JOB, TOLD, {**TOLD, "type": "WorkspaceSucceeded"}]
    said = {"state": "Running", "tuning": {"step": 3, "steps": 9}, "conditions": conditions}
    return {**obj, "status": {**obj.get("status", {}), **said}}


def statuses(plan: Plan) -> list[Apply]:
    return [it for it in plan.effects if isinstance(it, Apply) and it.subresource == "status"]


def test_it_gets_its_claim_and_its_finalizer() -> None:
    new = tunes()
    new["metadata"]["finalizers"] = []
    plan = decide(Observed(new))
    assert [it.finalizers for it in plan.effects if isinstance(it, Mark)] == [("workspace.finalizer.kaito.sh",)]
    assert [it["metadata"]["name"] for it in applied(plan, "Machine")] == [MACHINE_NAME]
    assert says(plan) == {
        "MachineReady": ("Unknown", "Provisioning"),
        "ResourceReady": ("Unknown", "WaitingForNodes"),
    }
    assert not plan.settled


def test_nothing_of_ours_runs_on_its_nodes() -> None:
    plan = decide(Observed(tunes(), *READY))
    assert [it for it in plan.does if isinstance(it, Apply)] == []
    assert says(plan) == {"MachineReady": ("True", "Provisioned"), "ResourceReady": ("True", "NodesReady")}
    assert status(plan)["workerNodes"] == [MACHINE_NAME]
    assert "state" not in status(plan)
    assert plan.settled


def test_what_the_tuning_function_says_stays_and_is_no_reason_to_write() -> None:
    obj = tunes()
    (write,) = statuses(decide(Observed(told(obj), *READY)))
    assert set(TUNING) <= write.beside
    first = written({**obj, "status": {"conditions": []}}, Plan((write,)))
    assert decide(Observed(told(first), *READY)) == Plan()


def test_nodes_are_kept_once_it_is_tuned() -> None:
    """They go with the Workspace: another tuning may be asked for."""
    obj = told(tunes())
    obj["status"]["state"] = "Succeeded"
    assert [it for it in decide(Observed(obj, *READY)).effects if isinstance(it, Delete)] == []


@pytest.mark.parametrize(
    ("obj", "reason", "words"),
    [
        (tunes("smolm2-135m-instruct"), "UnknownPreset", "did you mean smollm2-135m-instruct"),
        (tunes(instance_type="gpu-box"), "UnknownInstanceType", "gpu-box"),
        (tunes("phi-3-mini-4k-instruct"), "InsufficientGPUs", "would do. Delete the Workspace and create it anew."),
        (tunes("falcon-40b"), "InsufficientGPUs", "needs 2 GPUs, and 1 x Standard_NC6s_v3 has 1"),
        (tunes("llama-2-7b"), "ImageNeeded", "set tuning.preset.accessMode: private"),
        (
            tunes("llama-2-7b", accessMode="private", presetOptions={"image": "a:1"}),
            "NotTunable",
            "llama-2-7b cannot be tuned; these can: ",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_nodes_condition_alone(obj: Object, reason: str, words: str) -> None:
    plan = decide(Observed(obj))
    assert says(plan) == {"ResourceReady": ("False", reason)}
    assert words in status(plan)["conditions"][0]["message"]
    assert "state" not in status(plan)
    assert applied(plan, "Machine") == []
    assert [it.event["type"] for it in plan.effects if isinstance(it, Tell)] == ["Warning"]
    assert plan.settled


def asked(obj: Object) -> Work | Refusal:
    return work(Observed(obj), Workspace.model_validate(obj), CATALOGUE)


@pytest.mark.parametrize(
    ("preset", "instance_type", "gpus"),
    [
        ("phi-3-mini-4k-instruct", "Standard_NC96ads_A100_v4", 4),
        ("phi-3-mini-4k-instruct", "", 1),
        ("smollm2-135m-instruct", "", 0),
    ],
)
def test_its_nodes_need_what_tuning_needs(preset: str, instance_type: str, gpus: int) -> None:
    found = asked(tunes(preset, instance_type))
    assert isinstance(found, Work)
    assert found.model is not None
    assert (found.tunes, found.needs, found.sku.gpus) == (True, found.model.tuning, gpus)


def test_a_brought_node_that_would_serve_may_be_too_small_to_tune() -> None:
    serves, tunes_it = (make("phi-3-mini-4k-instruct", "") for make in (workspace, tunes))
    brought = node("mine", ours=False)
    brought["metadata"]["labels"]["nvidia.com/gpu.memory"] = str(24 * 1024)
    assert says(decide(Observed(serves, nodes=(brought,))))["ResourceReady"][0] == "True"
    plan = decide(Observed(tunes_it, nodes=(brought,)))
    assert says(plan)["ResourceReady"] == ("Unknown", "WaitingForNodes")
    assert "is too small: phi-3-mini-4k-instruct needs" in status(plan)["conditions"][1]["message"]


def test_people_may_bring_all_nodes() -> None:
    plan = decide(Observed(tunes(), nodes=(node("mine", ours=False),)), Settings(claim_kind=None))
    assert says(plan)["ResourceReady"] == ("True", "NodesReady")
    assert applied(plan, "Machine") == []


def test_a_refused_write_is_its_nodes_condition_too() -> None:
    write = Apply({"apiVersion": MACHINE.api_version, "kind": "Machine", "metadata": {"name": "ws1"}}, "wanted")
    first = told(written({**tunes(), "status": {"conditions": []}}, decide(Observed(tunes(), *READY))))
    plan = refused(Observed(first), Refused(write, KubeError(403, "Forbidden", "no rights")), NOW)
    assert says(plan) == {"MachineReady": ("True", "Provisioned"), "ResourceReady": ("False", "WriteRefused")}
    assert "no rights" in status(plan)["conditions"][-1]["message"]
    assert "state" not in status(plan)
    assert [it.event["reason"] for it in plan.effects if isinstance(it, Tell)] == ["WriteRefused"]
    assert not plan.settled


def test_when_it_goes_its_claims_go_and_then_the_finalizer() -> None:
    gone = copy.deepcopy(told(tunes()))
    gone["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    observed = Observed(gone, READY[0])
    plan = decide(observed)
    assert [it.uid for it in plan.effects if isinstance(it, Delete)] == ["m1"]
    assert says(plan) == {"WorkspaceDeleting": ("True", "Deleting"), "WorkspaceReady": ("False", "Deleting")}
    assert status(plan)["state"] == "Deleting"
    assert [it.beside & {"state", "WorkspaceReady", "JobStarted"} for it in statuses(plan)] == [{"JobStarted"}]
    end = decide(replace(observed, claims=()))
    assert [it.finalizers for it in end.effects if isinstance(it, Mark)] == [()]
