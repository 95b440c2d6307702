"""The decision about a claim, walked through by applying each plan to what was observed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import presets
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import reconcile, refused
from functions.provisioner.settings import Settings
from kaito.api.claims import NodeRequest, render_claim
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Delete, Mark, Plan, Refused

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LABELS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default", "apps": "phi"}


def claim(kind: Kind = MACHINE, instance_type: str = "Standard_NC12s_v3") -> Object:
    obj = render_claim(NodeRequest("ws012345678", instance_type, "50Gi", LABELS), kind)
    obj["metadata"] |= {"uid": "m1", "resourceVersion": "3", "generation": 1}
    obj["metadata"]["creationTimestamp"] = "2026-11-23T11:59:59Z"  # its second is over when NOW begins
    return obj


def decide(observed: Observed, seconds: float = 0) -> Plan:
    return reconcile(observed, presets.load(), Settings(boot_seconds=2), NOW + timedelta(seconds=seconds))


def after(observed: Observed, plan: Plan) -> Observed:
    """What is observed once the plan has been carried out."""
    obj, nodes = dict(observed.claim or {}), list(observed.nodes)
    for effect in plan.effects:
        if isinstance(effect, Mark):
            annotations = {**obj["metadata"]["annotations"], **effect.annotations}
            obj["metadata"] = {**obj["metadata"], "finalizers": list(effect.finalizers), "annotations": annotations}
        elif isinstance(effect, Apply) and effect.object["kind"] == "Node" and effect.subresource:
            nodes[0] = {**nodes[0], "status": effect.object["status"]}
        elif isinstance(effect, Apply) and effect.object["kind"] == "Node":
            before = nodes[0] if nodes else {}
            nodes = [{**before, **effect.object, "metadata": {**effect.object["metadata"], "uid": "n1"}}]
        elif isinstance(effect, Apply) and effect.subresource == "status":
            obj["status"] = effect.object["status"]
        elif isinstance(effect, Delete):
            nodes = [node for node in nodes if node["metadata"]["uid"] != effect.uid]
    return Observed(obj, tuple(nodes))


def says(observed: Observed) -> dict[str, tuple[str, str]]:
    assert observed.claim is not None
    return {c["type"]: (c["status"], c["reason"]) for c in observed.claim["status"]["conditions"]}


@pytest.mark.parametrize(("kind", "prefix"), [(MACHINE, "Machine"), (NODE_CLAIM, "")])
def test_from_a_claim_to_a_ready_node_and_back(kind: Kind, prefix: str) -> None:
    asked = Observed(claim(kind))
    plan = decide(asked)
    assert isinstance(plan.effects[0], Mark), "the finalizer comes before anything is launched"
    assert plan.requeue_after == 2
    launched = after(asked, plan)
    assert says(launched)[f"{prefix}Launched"] == ("True", "Launched")
    assert says(launched)["Ready"] == ("Unknown", "NodeNotFound")

    early = decide(launched, seconds=1)
    assert early == Plan(requeue_after=1, settled=False), "nothing happens before it has booted"

    booted = after(launched, decide(launched, seconds=2))
    (node,) = booted.nodes
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "Standard_NC12s_v3"
    assert node["metadata"]["labels"]["apps"] == "phi"
    assert node["spec"]["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]

    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}  # where node-lifecycle has yet to see it
    tainted = Observed(booted.claim, ({**node, "spec": {"taints": [*node["spec"]["taints"], taint]}},))
    assert says(after(tainted, decide(tainted, seconds=3)))["Ready"] == ("Unknown", "EphemeralTaints")

    ready = after(booted, decide(booted, seconds=4))
    assert says(ready)["Ready"] == ("True", "Ready")
    assert ready.claim is not None
    assert ready.claim["status"]["nodeName"] == "ws012345678"
    assert decide(ready, seconds=60) == Plan(), "a settled claim plans nothing"

    ready.claim["metadata"]["deletionTimestamp"] = "2026-11-23T12:01:00Z"
    emptied = after(ready, decide(ready))
    assert emptied.nodes == ()
    assert [e.finalizers for e in decide(emptied).effects if isinstance(e, Mark)] == [()]


def test_a_node_without_its_gpus_is_not_initialized() -> None:
    launched = after(Observed(claim()), decide(Observed(claim())))
    booted = after(launched, decide(launched, seconds=2))
    booted.nodes[0]["status"]["allocatable"].pop("nvidia.com/gpu")
    assert says(after(booted, decide(booted, seconds=3)))["MachineInitialized"] == ("Unknown", "ResourceNotRegistered")


def test_several_nodes_of_one_claim_are_reported_and_none_is_made() -> None:
    launched = after(Observed(claim()), decide(Observed(claim())))
    twins = tuple(
        {"metadata": {"name": name, "uid": name, "labels": {}}, "status": {"conditions": []}} for name in ("a", "b")
    )
    plan = decide(Observed(launched.claim, twins), seconds=9)
    assert not [e for e in plan.effects if isinstance(e, Apply) and e.object["kind"] == "Node"]
    assert says(after(launched, plan))["MachineRegistered"] == ("False", "MultipleNodesFound")


def test_an_unknown_instance_type_is_a_reason_not_a_node() -> None:
    plan = decide(Observed(claim(instance_type="gpu-box")))
    assert says(after(Observed(claim()), plan))["Ready"] == ("False", "InstanceTypeUnknown")
    assert plan.settled


def test_a_node_that_lost_its_label_gets_it_back() -> None:
    launched = after(Observed(claim()), decide(Observed(claim())))
    booted = after(launched, decide(launched, seconds=2))
    booted.nodes[0]["metadata"]["labels"].pop("apps")
    assert after(booted, decide(booted, seconds=9)).nodes[0]["metadata"]["labels"]["apps"] == "phi"


def test_a_claim_that_lost_its_label_is_still_cleaned_up() -> None:
    launched = after(Observed(claim()), decide(Observed(claim())))
    assert launched.claim is not None
    launched.claim["metadata"] |= {"labels": {}, "deletionTimestamp": "2026-11-23T12:01:00Z"}
    assert [e.finalizers for e in decide(launched).effects if isinstance(e, Mark)] == [()]


def test_a_refused_write_is_told_in_the_api_servers_words() -> None:
    launched = after(Observed(claim()), decide(Observed(claim())))
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "ws1"}}
    error = KubeError(403, "Forbidden", "no rights")
    plan = refused(launched, Refused(Apply(node, "it has booted"), error), presets.load(), Settings(), NOW)
    assert says(after(launched, plan))["Ready"] == ("False", "WriteRefused")
    assert not plan.settled


@pytest.mark.parametrize(
    ("kind", "labels", "ours"),
    [
        (MACHINE, {"kaito.sh/workspace": "phi"}, True),
        (MACHINE, {"kaito.sh/ragengine": "rag"}, True),
        (MACHINE, {"apps": "phi"}, False),
        (NODE_CLAIM, {"apps": "phi"}, True),  # its node class is KAITO's
    ],
)
def test_whose_a_claim_is(kind: Kind, labels: dict[str, str], ours: bool) -> None:
    obj = claim(kind)
    obj["metadata"]["labels"] = labels
    assert bool(decide(Observed(obj)).effects) is ours


def test_a_node_claim_of_another_node_class_is_left_alone() -> None:
    foreign = claim(NODE_CLAIM)
    foreign["metadata"]["labels"] = {}
    foreign["spec"]["nodeClassRef"] = {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"}
    assert decide(Observed(foreign)) == Plan()


def test_a_claim_of_somebody_else_is_left_alone() -> None:
    foreign = claim()
    foreign["metadata"]["labels"] = {}
    assert decide(Observed(foreign)) == Plan()
