"""The decision about a Workspace, as tables of observed → plan."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from functions.workspace.observed import Observed
from functions.workspace.reconcile import refused
from functions.workspace.settings import Settings
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Delete, Mark, Plan, Refused, Tell
from tests.unit.functions.workspace.scenes import (
    MACHINE_NAME,
    NOW,
    UID,
    applied,
    decide,
    machine,
    node,
    says,
    served,
    settled,
    status,
    tainted,
    workspace,
)


def test_a_workspace_that_is_gone_needs_nothing() -> None:
    assert decide(Observed(None)) == Plan()


def test_a_new_workspace_gets_its_finalizer_before_anything_that_must_be_cleaned_up() -> None:
    new = workspace()
    new["metadata"]["finalizers"] = []
    plan = decide(Observed(new))
    assert isinstance(plan.effects[0], Mark)
    assert plan.effects[0].finalizers == ("workspace.finalizer.kaito.sh",)
    assert [m["metadata"]["name"] for m in applied(plan, "Machine")] == [MACHINE_NAME]
    assert not applied(plan, "Service")
    assert says(plan)["ResourceReady"] == ("Unknown", "WaitingForNodes")
    assert not plan.settled


@pytest.mark.parametrize("kind", [MACHINE, NODE_CLAIM])
def test_the_claim_asks_for_the_instance_type_and_carries_the_labels(kind: Kind) -> None:
    plan = decide(Observed(workspace()), Settings(kind, "kaito/serving:0.1.0"))
    (claim,) = applied(plan, kind.kind)
    assert {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC6s_v3"]} in claim[
        "spec"
    ]["requirements"]
    assert claim["metadata"]["labels"]["apps"] == "phi"
    assert claim["metadata"]["labels"]["kaito.sh/workspacenamespace"] == "default"
    assert claim["spec"]["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert len(claim["metadata"]["name"]) == 11


def test_one_claim_a_slot_however_often_it_is_asked() -> None:
    assert not applied(decide(Observed(workspace(), (machine(),))), "Machine")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((node(ready="False"),), "is not Ready"),
        ((tainted(node()),), "is still tainted node.kubernetes.io/not-ready"),
        ((node(gpus=0),), "does not offer 1 nvidia.com/gpu yet"),
    ],
)
def test_what_is_not_a_ready_gpu_node_is_waited_for_by_name(nodes: tuple[Object, ...], message: str) -> None:
    plan = decide(Observed(workspace(), (machine(ready=True),), nodes))
    condition = next(c for c in status(plan)["conditions"] if c["type"] == "ResourceReady")
    assert condition["status"] == "Unknown"
    assert message in condition["message"]
    assert not applied(plan, "Service")


def test_a_node_that_lost_its_label_is_named_with_what_to_do() -> None:
    plan = decide(Observed(workspace(), (machine(ready=True),)))
    condition = next(c for c in status(plan)["conditions"] if c["type"] == "ResourceReady")
    assert f"kubectl label node {MACHINE_NAME} apps=phi" in condition["message"]


def test_ready_nodes_get_the_service() -> None:
    plan = decide(Observed(workspace(), (machine(ready=True),), (node(),)))
    (service,) = applied(plan, "Service")
    pod = service["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"apps": "phi"}
    assert {t["key"] for t in pod["tolerations"]} == {"nvidia.com/gpu", "sku"}
    assert service["metadata"]["ownerReferences"][0]["uid"] == UID
    assert status(plan)["workerNodes"] == [MACHINE_NAME]
    assert says(plan)["InferenceReady"] == ("Unknown", "Deploying")


def test_a_cpu_preset_asks_for_no_gpu() -> None:
    cpu = workspace("smollm2-135m-instruct", "Standard_D4s_v5")
    brought = node("cpu", gpus=0)
    brought["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "Standard_D4s_v5"
    (service,) = applied(decide(Observed(cpu, (), (brought,))), "Service")
    pod = service["spec"]["template"]["spec"]
    assert "resources" not in pod["containers"][0]
    assert "tolerations" not in pod


def test_a_cpu_preset_on_a_gpu_node_tolerates_its_taint() -> None:
    observed = Observed(workspace("smollm2-135m-instruct"), (machine(ready=True),), (node(),))
    pod = applied(decide(observed), "Service")[0]["spec"]["template"]["spec"]
    assert "sku" in {t["key"] for t in pod["tolerations"]}
    assert "resources" not in pod["containers"][0]


def test_an_empty_selector_selects_nothing_in_the_pod() -> None:
    anywhere = workspace(resource={"instanceType": "Standard_NC6s_v3", "labelSelector": {}})
    pod = applied(decide(Observed(anywhere, (), (node(ours=False),))), "Service")[0]["spec"]["template"]["spec"]
    assert "nodeSelector" not in pod, "an empty one would be dropped by Knative and never be what we want"


def test_nodes_that_were_brought_need_no_claim() -> None:
    plan = decide(Observed(workspace(), (), (node("mine", ours=False),)))
    assert not applied(plan, "Machine")
    assert says(plan)["MachineReady"] == ("True", "NotNeeded")
    assert status(plan)["workerNodes"] == ["mine"]


@pytest.mark.parametrize(
    ("ready", "expected", "state"),
    [
        (("True", "", ""), ("True", "Serving"), "Ready"),
        (("Unknown", "Deploying", "loading"), ("Unknown", "Deploying"), "Pending"),
        (("False", "RevisionFailed", "no image"), ("False", "RevisionFailed"), "Failed"),
        (("False", "RevisionFailed", "0/1 nodes are available: none"), ("Unknown", "Unschedulable"), "Pending"),
    ],
)
def test_inference_is_what_knative_says(ready: tuple[str, str, str], expected: tuple[str, str], state: str) -> None:
    observed = Observed(workspace(), (machine(ready=True),), (node(),))
    plan = decide(replace(observed, children=(served(observed, ready),)))
    assert says(plan)["InferenceReady"] == expected
    assert status(plan)["state"] == state
    assert says(plan)["WorkspaceReady"][0] == expected[0]


def test_a_model_that_lost_its_node_waits_for_the_next() -> None:
    observed = Observed(workspace(), (machine(ready=True),), (node(),))
    failed = served(observed, ("False", "RevisionFailed", "its node is gone"))
    plan = decide(Observed(observed.workspace, (machine(),), (), (failed,)))
    assert says(plan)["InferenceReady"] == ("Unknown", "WaitingForNodes")
    assert status(plan)["state"] == "Pending"


def test_a_settled_workspace_plans_nothing() -> None:
    assert decide(settled()) == Plan()


def test_what_others_changed_in_the_service_is_put_right() -> None:
    observed = settled()
    observed.children[0]["spec"]["template"]["spec"]["nodeSelector"] = {"apps": "other"}
    assert applied(decide(observed), "Service")


def test_times_move_only_with_the_status() -> None:
    observed = settled()
    assert observed.workspace is not None
    observed.workspace["status"]["conditions"][0] |= {"message": "old", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    condition = status(decide(observed))["conditions"][0]
    assert condition["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert condition["message"] != "old"


@pytest.mark.parametrize(
    ("instance_type", "settings"), [("", Settings()), ("Standard_NC6s_v3", Settings(claim_kind=None))]
)
def test_nodes_may_be_brought_by_people(instance_type: str, settings: Settings) -> None:
    """Without an instance type, or a provisioner: what has the labels and enough GPUs is used."""
    obj = workspace(instance_type=instance_type)
    waits = decide(Observed(obj), settings)
    assert applied(waits, "Machine") == []
    assert says(waits)["MachineReady"] == ("True", "NotNeeded")
    (resource,) = (it for it in status(waits)["conditions"] if it["type"] == "ResourceReady")
    assert (resource["status"], resource["reason"]) == ("Unknown", "WaitingForNodes")
    assert "or label one: kubectl label node NODE apps=phi" in resource["message"]

    poor = decide(Observed(obj, nodes=(node("brought", gpus=0, ours=False),)), settings)
    assert says(poor)["ResourceReady"] == ("Unknown", "WaitingForNodes")
    assert applied(poor, "Service") == []

    serves = decide(Observed(obj, nodes=(node("brought", gpus=4, ours=False),)), settings)
    assert status(serves)["workerNodes"] == ["brought"]
    (service,) = applied(serves, "Service")
    limits = service["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": "1"}, "what the model needs"


def test_another_type_of_node_counts_only_where_none_is_named() -> None:
    other = node("brought", ours=False)
    other["metadata"]["labels"]["node.kubernetes.io/instance-type"] = "on-premises"
    assert status(decide(Observed(workspace(instance_type=""), nodes=(other,))))["workerNodes"] == ["brought"]
    assert "workerNodes" not in status(decide(Observed(workspace(), nodes=(other,))))


def test_whoever_knows_better_what_fits_gets_it() -> None:
    obj = workspace("phi-4")
    obj["metadata"]["annotations"] = {"kaito.sh/bypass-resource-checks": ""}
    assert says(decide(Observed(obj)))["ResourceReady"] == ("Unknown", "WaitingForNodes")


def test_a_lost_node_is_told() -> None:
    observed = settled()
    plan = decide(replace(observed, nodes=(node(ready="False"),)))
    assert says(plan)["ResourceReady"] == ("Unknown", "WaitingForNodes")
    assert says(plan)["WorkspaceReady"][0] == "Unknown"


def test_the_clouds_own_words_reach_the_workspace() -> None:
    failed = machine(MachineLaunched=("False", "SubscriptionQuotaReached", "NCSv3 Family Cores quota is 0"))
    plan = decide(Observed(workspace(), (failed,)))
    condition = next(c for c in status(plan)["conditions"] if c["type"] == "ResourceReady")
    assert (condition["status"], condition["reason"]) == ("False", "SubscriptionQuotaReached")
    assert "NCSv3 Family Cores quota is 0" in condition["message"]


@pytest.mark.parametrize(
    ("obj", "reason", "words"),
    [
        (workspace("smolm2-135m-instruct"), "UnknownPreset", "did you mean smollm2-135m-instruct"),
        (workspace("x"), "UnknownPreset", "it has deepseek-r1-distill-llama-8b"),
        (workspace("phi-4"), "InsufficientGPUs", "would do. Delete the Workspace and create it anew."),
        (workspace("falcon-40b"), "InsufficientGPUs", "needs 2 GPUs, and 1 x Standard_NC6s_v3 has 1"),
        (workspace("phi-4"), "InsufficientGPUs", "needs 40 GiB of GPU memory"),
        (workspace(instance_type="gpu-box"), "UnknownInstanceType", "gpu-box"),
        (workspace("llama-2-7b"), "ImageNeeded", "presetOptions.image"),
        (
            workspace(inference={"preset": {"name": "llama-2-7b", "presetOptions": {"image": "a:1"}}}),
            "ImageNeeded",
            "private",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_to_change(obj: Object, reason: str, words: str) -> None:
    plan = decide(Observed(obj))
    assert says(plan)["WorkspaceReady"] == ("False", reason)
    assert words in status(plan)["conditions"][0]["message"]
    assert not applied(plan, "Machine")
    assert plan.settled


def test_a_machine_that_is_being_deleted_is_waited_for_and_then_replaced() -> None:
    going = machine(ready=True)
    going["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    plan = decide(Observed(workspace(), (going,)))
    assert says(plan)["MachineReady"] == ("Unknown", "Replacing")
    assert not applied(plan, "Machine")
    assert applied(decide(Observed(workspace())), "Machine")


def test_claims_that_outlived_their_workspace_are_deleted() -> None:
    plan = decide(Observed(None, (machine(),)))
    assert [effect.uid for effect in plan.effects if isinstance(effect, Delete)] == ["m1"]


REFUSED = Refused(
    Apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "phi"}}, "wanted"),
    KubeError(403, "Forbidden", "no rights"),
)


def test_a_refused_write_is_told_in_the_api_servers_words() -> None:
    observed = settled()
    plan = refused(observed, REFUSED, NOW)
    assert says(plan)["WorkspaceReady"] == ("False", "WriteRefused")
    assert says(plan)["ResourceReady"][0] == "True", "what was known stays"
    assert not plan.settled
    assert refused(Observed(None), REFUSED, NOW).effects == ()


def test_a_service_of_somebody_else_is_not_taken_over() -> None:
    foreign = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "phi", "uid": "x"}}
    plan = decide(Observed(workspace(), (machine(ready=True),), (node(),), (foreign,)))
    assert says(plan)["WorkspaceReady"] == ("False", "NameTaken")
    assert not applied(plan, "Service")


def test_a_transition_is_told_as_a_kubernetes_event() -> None:
    events = [it.event for it in decide(Observed(workspace("phi-33"))).effects if isinstance(it, Tell)]
    assert {event["type"] for event in events} == {"Warning"}
    assert events[0]["involvedObject"]["name"] == "phi"


class TestDeletion:
    def gone(self) -> Object:
        observed = settled()
        assert observed.workspace is not None
        obj: Object = copy.deepcopy(observed.workspace)
        obj["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        return obj

    def test_everything_of_it_goes_first(self) -> None:
        plan = decide(replace(settled(), workspace=self.gone()))
        assert [(e.kind.kind, e.uid) for e in plan.effects if isinstance(e, Delete)] == [
            ("Service", "s1"),
            ("Machine", "m1"),
        ]
        assert says(plan)["WorkspaceDeleting"] == ("True", "Deleting")

    def test_what_is_going_is_waited_for(self) -> None:
        going = machine()
        going["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        plan = decide(Observed(self.gone(), (going,)))
        assert not [e for e in plan.effects if isinstance(e, (Delete, Mark))]

    def test_then_the_finalizer(self) -> None:
        plan = decide(Observed(self.gone()))
        assert [e.finalizers for e in plan.effects if isinstance(e, Mark)] == [()]
