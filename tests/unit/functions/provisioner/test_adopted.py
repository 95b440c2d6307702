"""The cluster's own nodes, lent to claims: each plan is applied to what was observed, and decided anew."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import presets
from functions.provisioner.app import keys
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import reconcile
from functions.provisioner.settings import LABEL, Settings
from kaito.api.claims import INSTANCE_TYPE, LABEL_CLAIM, NodeRequest, render_claim
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object
from kaito.runtime.events import Event
from kaito.runtime.plan import Announce, Apply, Mark, Plan

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAME = "ws012345678"
LABELS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default", "apps": "phi"}


def claim(instance_type: str = "Standard_NC6s_v3", *, gpu: bool = True) -> Object:
    obj = render_claim(NodeRequest(NAME, instance_type, "50Gi", LABELS, gpu=gpu), MACHINE)
    obj["metadata"] |= {"uid": "m1", "resourceVersion": "3", "generation": 1}
    return obj


def node(name: str = "n1", *, gpus: int = 1, ready: str = "True", labels: Object | None = None, **spec: Any) -> Object:
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7", "labels": {"own": "1", **(labels or {})}}
    offered = {"cpu": "8", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta,
        "spec": {"providerID": f"kind://{name}", **spec},
        "status": {
            "capacity": offered,
            "allocatable": offered,
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def decide(observed: Observed) -> Plan:
    return reconcile(observed, presets.load(), Settings(local_nodes=LABEL), NOW)


def after(observed: Observed, plan: Plan) -> Observed:
    """What is observed once the plan has been carried out: an apply takes away labels that only an earlier one set."""
    obj = copy.deepcopy(observed.claim or {})
    nodes = {n["metadata"]["name"]: copy.deepcopy(n) for n in (*observed.nodes, *observed.others)}
    for effect in plan.effects:
        if isinstance(effect, Mark):
            obj["metadata"]["finalizers"] = list(effect.finalizers)
            obj["metadata"]["annotations"] |= effect.annotations
        elif isinstance(effect, Apply) and effect.subresource == "status":
            obj["status"] = effect.object["status"]
        elif isinstance(effect, Apply) and effect.object["kind"] == "Node":
            found = nodes[effect.object["metadata"]["name"]]["metadata"]
            kept = {key: value for key, value in found["labels"].items() if key == "own"}
            found["labels"] = {**kept, **effect.object["metadata"]["labels"]}
    mine = [n for n in nodes.values() if n["metadata"]["labels"].get(LABEL_CLAIM) == NAME]
    return Observed(obj, tuple(mine), tuple(n for n in nodes.values() if n not in mine))


def says(observed: Observed, kind: str = "Ready") -> tuple[str, str, str]:
    assert observed.claim is not None
    return next(
        (c["status"], c["reason"], c["message"]) for c in observed.claim["status"]["conditions"] if c["type"] == kind
    )


def taken(observed: Observed) -> list[str]:
    """The nodes that the plan labels."""
    return [
        e.object["metadata"]["name"]
        for e in decide(observed).effects
        if isinstance(e, Apply) and e.object["kind"] == "Node"
    ]


def test_a_node_is_lent_and_given_back() -> None:
    asked = Observed(claim(), others=(node(),))
    plan = decide(asked)
    assert isinstance(plan.effects[0], Mark), "the finalizer comes before a node is taken"
    taking = next(e.object for e in plan.effects if isinstance(e, Apply) and e.object["kind"] == "Node")
    assert taking["metadata"] == {
        "name": "n1",
        "uid": "uid-n1",
        "resourceVersion": "7",
        "labels": {**asked.claim["metadata"]["labels"], LABEL_CLAIM: NAME},  # type: ignore[index]
    }, "of that version only, so that nobody else has taken it; no owner"
    assert "spec" not in taking, "no taint, no providerID"

    ready = after(asked, plan)
    assert says(ready)[:2] == ("True", "Ready")
    assert ready.claim is not None
    status = {key: value for key, value in ready.claim["status"].items() if key != "conditions"}
    offered = {"cpu": "8", "nvidia.com/gpu": "1"}
    assert status == {"providerID": "kind://n1", "nodeName": "n1", "capacity": offered, "allocatable": offered}
    assert ready.nodes[0]["metadata"]["labels"][INSTANCE_TYPE] == "Standard_NC6s_v3"
    assert decide(ready) == Plan(), "a settled claim plans nothing"

    ready.claim["metadata"]["deletionTimestamp"] = "2026-11-23T12:01:00Z"
    plan = decide(ready)
    assert [type(effect) for effect in plan.effects] == [Apply, Announce, Mark], "the label first"
    gone = after(ready, plan)
    assert gone.others[0]["metadata"]["labels"] == {"own": "1"}
    assert gone.claim is not None
    assert gone.claim["metadata"]["finalizers"] == []


TAKEN = {LABEL_CLAIM: "ws9", "kaito.sh/workspace": "llama", "kaito.sh/workspacenamespace": "team"}
UNFIT: dict[str, tuple[Object, str]] = {
    "taken": (node(labels=TAKEN), "is taken by claim ws9 of Workspace team/llama"),
    "not ready": (node(ready="Unknown"), "is not Ready"),
    "cordoned": (node(unschedulable=True), "is cordoned"),
    "tainted": (node(taints=[{"key": "control-plane", "effect": "NoSchedule"}]), "is tainted control-plane:NoSchedule"),
    "evicting": (node(taints=[{"key": "a", "value": "b", "effect": "NoExecute"}]), "is tainted a:NoExecute"),
    "too few GPUs": (node(gpus=0), "offers 0 of 1 nvidia.com/gpu"),
    "another type": (node(labels={INSTANCE_TYPE: "k3s"}), f"has the label {INSTANCE_TYPE}=k3s, not Standard_NC6s_v3"),
    "somebody's label": (node(labels={"apps": "web"}), "has the label apps=web, not phi"),
}


@pytest.mark.parametrize(("unfit", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_is_not_free_is_said_and_looked_at_again(unfit: Object, why: str) -> None:
    asked = Observed(claim(), others=(unfit,))
    plan = decide(asked)
    assert taken(asked) == []
    status, reason, message = says(after(asked, plan))
    assert (status, reason) == ("False", "InsufficientCapacity")
    assert f"n1 {why}" in message
    assert not plan.settled, "a node may become free, and no event would say for whom"

    free = Observed(after(asked, plan).claim, others=(unfit, node("n2")))
    assert says(after(free, decide(free)))[:2] == ("True", "Ready")


FIT: dict[str, Object] = {
    "plain": node(),
    "preferably not": node(taints=[{"key": "a", "effect": "PreferNoSchedule"}]),
    "for GPU pods": node(taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]),
    "for our pods": node(taints=[{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]),
    "labelled so already": node(labels={INSTANCE_TYPE: "Standard_NC6s_v3", "apps": "phi"}),
    "with GPUs to spare": node(gpus=4),
}


@pytest.mark.parametrize("fit", FIT.values(), ids=FIT.keys())
def test_what_its_pods_can_use_is_taken(fit: Object) -> None:
    assert taken(Observed(claim(), others=(fit,))) == ["n1"]


def test_a_model_for_a_cpu_leaves_the_gpus_to_others() -> None:
    nodes = (node("a", gpus=1), node("c", gpus=0), node("b", gpus=0))
    assert taken(Observed(claim("Standard_D4s_v5", gpu=False), others=nodes)) == ["b"]
    tainted = node("n1", gpus=1, taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}])
    assert taken(Observed(claim("Standard_D4s_v5", gpu=False), others=(tainted,))) == [], "its pods would not go there"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "has no node to give for Standard_NC6s_v3: add one"),
        (tuple(node(f"n{i}", gpus=0) for i in range(8)), "n4 offers 0 of 1 nvidia.com/gpu; 3 more."),
    ],
)
def test_a_short_message_for_any_cluster(nodes: tuple[Object, ...], message: str) -> None:
    asked = Observed(claim(), others=nodes)
    assert message in says(after(asked, decide(asked)))[2]


def changed(change: Callable[[Object], object]) -> Observed:
    asked = Observed(claim(), others=(node("n1"),))
    settled = after(asked, decide(asked))
    change(settled.nodes[0])
    mine = tuple(n for n in settled.nodes if n["metadata"]["labels"].get(LABEL_CLAIM) == NAME)
    lost = tuple(n for n in settled.nodes if n not in mine)
    return Observed(settled.claim, mine, (node("n0"), *lost))


def test_a_label_that_was_lost_comes_back() -> None:
    lost = changed(lambda n: n["metadata"]["labels"].pop("apps"))
    assert after(lost, decide(lost)).nodes[0]["metadata"]["labels"]["apps"] == "phi"


def test_a_node_that_forgot_its_claim_is_the_first_choice() -> None:
    lost = changed(lambda n: n["metadata"]["labels"].pop(LABEL_CLAIM))
    assert taken(lost) == ["n1"]


def test_a_node_that_is_gone_is_replaced() -> None:
    settled = changed(lambda _: None)
    again = Observed(settled.claim, (), settled.others)
    assert taken(again) == ["n0"]
    replaced = after(again, decide(again))
    assert replaced.claim is not None
    assert replaced.claim["status"]["nodeName"] == "n0"


def test_a_node_that_is_not_ready_any_more_stays_its_node() -> None:
    sick = changed(lambda n: n["status"]["conditions"][0].update(status="Unknown"))
    assert taken(sick) == []
    assert says(after(sick, decide(sick)))[:2] == ("Unknown", "NodeNotReady")


def test_several_nodes_of_one_claim_are_reported_and_none_is_labelled() -> None:
    twins = tuple(node(name, labels={LABEL_CLAIM: NAME}) for name in ("a", "b"))
    twice = Observed(claim(), twins)
    assert taken(twice) == []
    assert says(after(twice, decide(twice)), "MachineRegistered")[:2] == ("False", "MultipleNodesFound")


def test_a_node_without_a_providers_id_has_one_of_ours() -> None:
    bare = node()
    del bare["spec"]
    asked = Observed(claim(), others=(bare,))
    found = after(asked, decide(asked)).claim
    assert found is not None
    assert found["status"]["providerID"] == "local:///n1"


@pytest.mark.parametrize(
    ("labels", "hints"), [({LABEL_CLAIM: NAME}, [(MACHINE, NAME), (NODE_CLAIM, NAME)]), ({}, [])], ids=["taken", "free"]
)
def test_a_node_is_a_hint_at_the_claim_that_has_it(labels: Object, hints: list[tuple[Kind, str]]) -> None:
    about = {"kind": "Node", "apiversion": "v1", "name": "n1", "datacontenttype": "application/json"}
    event = Event(about, json.dumps(node(labels=labels)).encode())
    assert [(key.kind, key.name) for key in keys(event)] == hints


def test_a_setting_nobody_knows_is_refused() -> None:
    assert Settings.from_environment({"KAITO_LOCAL_NODES": "label"}).adopts
    assert not Settings.from_environment({}).adopts
    with pytest.raises(ValueError, match="KAITO_LOCAL_NODES is 'rent'; this release knows create, label"):
        Settings.from_environment({"KAITO_LOCAL_NODES": "rent"})
