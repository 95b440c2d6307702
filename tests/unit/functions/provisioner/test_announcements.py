"""What others are told of a node, by its claim, over the whole of its life."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import presets
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import refused
from functions.provisioner.settings import Settings
from kaito.api.resources import MACHINE, NODE_CLAIM, Kind, Object
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Announce, Apply, Delete, Mark, Plan, Refused
from tests.announced import announced, ends, once
from tests.unit.functions.provisioner.test_reconcile import NOW, after, claim, decide

LIFE = ["node.provisioned", "node.lost", "node.provisioned", "node.removed"]
#: What the node's kubelet says after how many seconds.
REPORTS = {3: None, 10: "Unknown", 20: "True"}


def live(kind: Kind, cuts: list[int]) -> list[Object]:
    """All that is said in the life of a claim; the function dies after so many effects once before each turn."""
    said, dies = list[Object](), iter(cuts)
    observed = Observed(claim(kind))

    def turn(seen: Observed, seconds: float) -> Observed:
        cut = next(dies, None)
        for writes in (None,) if cut is None else (cut, None):
            plan = decide(seen, seconds + (writes is None))
            plan = replace(plan, effects=plan.effects[:writes])
            said.extend(announced(plan))
            seen = after(seen, plan)
        return seen

    observed = turn(observed, 0)
    for seconds, ready in REPORTS.items():
        if ready is not None:
            (node,) = observed.nodes
            conditions = [{"type": "Ready", "status": ready}]
            node = {**node, "status": {**node["status"], "conditions": conditions}}
            observed = replace(observed, nodes=(node,))
        for more in range(3):
            observed = turn(observed, seconds + 2 * more)
    assert observed.claim is not None
    observed.claim["metadata"]["deletionTimestamp"] = "2026-11-23T12:01:00Z"
    while observed.claim["metadata"]["finalizers"]:
        observed = turn(observed, 60)
        assert observed.claim is not None
    return said


@pytest.mark.parametrize("kind", [MACHINE, NODE_CLAIM])
def test_each_change_is_said_once(kind: Kind) -> None:
    said = live(kind, [])
    assert ends(said) == LIFE
    assert len({event["id"] for event in said}) == len(LIFE)
    assert {event["subject"] for event in said} == {f"{kind.kind}/ws012345678"}
    assert {event["source"] for event in said} == {f"/apis/{kind.api_version}/{kind.plural}/ws012345678"}
    about = ("namespace", "workspace", "node", "instanceType")
    assert {tuple(event["data"][it] for it in about) for event in said} == {
        ("", "default/phi", "ws012345678", "Standard_NC12s_v3")
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20))
def test_whatever_is_cut_short_is_said_again_by_the_same_name(cuts: list[int]) -> None:
    said = live(MACHINE, cuts)
    assert ends(once(said)) == LIFE


def test_what_cannot_be_had_is_a_failure() -> None:
    plan = decide(Observed(claim(instance_type="gpu-box")))
    (failed,) = announced(plan)
    assert ends([failed]) == ["node.failed"]
    assert (failed["data"]["reason"], failed["data"]["node"]) == ("InstanceTypeUnknown", "")
    assert failed["data"]["instanceType"] == "gpu-box"
    assert [type(it) for it in plan.tells if isinstance(it, Announce | Apply)] == [Announce, Apply]


def test_a_refused_write_is_a_failure() -> None:
    error = KubeError(403, "Forbidden", "no rights")
    write = Refused(Apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}, "it has booted"), error)
    (failed,) = announced(refused(Observed(claim()), write, presets.load(), Settings(), NOW))
    assert ends([failed]) == ["node.failed"]
    assert failed["data"]["reason"] == "WriteRefused"


def test_its_end_is_said_before_it_is_let_go_and_only_of_what_was_ours() -> None:
    obj = claim()
    obj["metadata"] |= {"finalizers": ["karpenter.sh/termination"], "deletionTimestamp": "2026-11-23T12:01:00Z"}
    assert [type(it) for it in decide(Observed(obj)).does] == [Announce, Mark]
    obj["metadata"]["finalizers"] = ["somebody/else"]
    assert decide(Observed(obj)) == Plan()
    node = {"metadata": {"name": "n", "uid": "n1"}}
    assert [type(it) for it in decide(Observed(obj, (node,))).effects] == [Delete], "it is not gone yet"
