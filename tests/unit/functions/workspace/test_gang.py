"""One model in several processes, and a load balancer beside Knative: what is decided about them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from functions.workspace.nodes import claim_name
from functions.workspace.observed import Observed
from kaito.api.resources import SERVICE, STATEFUL_SET, Kind, Object
from kaito.runtime.plan import Apply, Delete, Plan
from tests.unit.functions.workspace.scenes import UID, decide, node, says, served, settled, status, workspace

NODES = tuple(node(claim_name(UID, slot)) for slot in range(2))
GPU = "Standard_NC6s_v3"


def gang(**metadata: Any) -> Object:
    obj = workspace()
    obj["resource"]["count"] = 2
    obj["metadata"] |= metadata
    return obj


def placed(obj: Object) -> Observed:
    """Its nodes are there, and nothing runs yet."""
    return Observed(obj, (), tuple(brought(it) for it in NODES))


def brought(obj: Object) -> Object:
    labels = {key: value for key, value in obj["metadata"]["labels"].items() if not key.startswith("kaito.sh/")}
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


def children(plan: Plan) -> tuple[Object, ...]:
    """What the plan applies, as it is then there."""
    kinds = {STATEFUL_SET, SERVICE}
    made = [it.object for it in plan.effects if isinstance(it, Apply) and Kind.of(it.object) in kinds]
    there = copy.deepcopy(made)
    for number, obj in enumerate(there):
        obj["metadata"] |= {"uid": f"c{number}", "generation": 1}
    return tuple(there)


def running(ready: int, **more: Any) -> Observed:
    observed = placed(gang())
    found = children(decide(observed))
    found[0]["status"] = {"observedGeneration": 1, "replicas": 2, "readyReplicas": ready}
    return replace(observed, children=found, **more)


def pod(
    name: str,
    *,
    waiting: Object | None = None,
    last: Object | None = None,
    scheduled: str = "True",
    of: str = "containerStatuses",
) -> Object:
    container: Object = {"name": "model", "state": {"waiting": waiting} if waiting else {"running": {}}}
    if last:
        container["lastState"] = {"terminated": last}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "status": {
            "conditions": [{"type": "PodScheduled", "status": scheduled, "reason": "Unschedulable", "message": "0/2"}],
            of: [container],
        },
    }


def test_it_is_deployed_when_all_its_nodes_are_there() -> None:
    alone = replace(placed(gang()), nodes=placed(gang()).nodes[:1])
    assert children(decide(alone)) == ()
    assert [it["metadata"]["name"] for it in children(decide(placed(gang())))] == ["phi", "phi-headless", "phi"]


def test_it_is_ready_when_all_its_pods_are() -> None:
    assert says(decide(running(1)))["InferenceReady"] == ("Unknown", "Deploying")
    plan = decide(running(2))
    assert says(plan)["WorkspaceReady"][0] == "True"
    assert status(plan)["url"] == "http://phi.default.svc"
    old = running(2)
    old.children[0]["metadata"]["generation"] = 2
    assert says(decide(old))["InferenceReady"] == ("Unknown", "Deploying"), "the readiness is of what was before"


@pytest.mark.parametrize(
    ("trouble", "verdict", "words"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            ("False", "ImagePullBackOff"),
            "phi-1: Back-off pulling image",
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}, "last": {"exitCode": 1, "message": "no model in /mnt/model\n"}},
            ("False", "CrashLoopBackOff"),
            "phi-1: no model in /mnt/model",
        ),
        (
            {"waiting": {"reason": "CrashLoopBackOff"}, "last": {"exitCode": 137}},
            ("False", "CrashLoopBackOff"),
            "phi-1: exit code 137",
        ),
        (
            {
                "waiting": {"reason": "CrashLoopBackOff"},
                "last": {"message": "There is no example.com/weights:1"},
                "of": "initContainerStatuses",
            },
            ("False", "CrashLoopBackOff"),
            "phi-1: There is no example.com/weights:1",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, ("Unknown", "Deploying"), "0 of 2 pods are ready"),
        ({"scheduled": "False"}, ("Unknown", "Unschedulable"), "phi-1: 0/2"),
    ],
    ids=["image", "crash", "killed", "puller", "creating", "unschedulable"],
)
def test_why_a_pod_is_not_ready_is_told(trouble: dict[str, Any], verdict: tuple[str, str], words: str) -> None:
    plan = decide(running(0, pods=(pod("phi-0"), pod("phi-1", **trouble))))
    assert says(plan)["InferenceReady"] == verdict
    message = next(it["message"] for it in status(plan)["conditions"] if it["type"] == "InferenceReady")
    assert message == words


def test_what_changed_is_started_anew_as_a_whole() -> None:
    observed = running(2)
    observed.children[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody/else:1"
    changes = [it for it in decide(observed).effects if isinstance(it, Apply | Delete) and _is_set(it)]
    assert [type(it) for it in changes] == [Delete, Apply], "one pod after the other would never be ready together"


def _is_set(effect: Apply | Delete) -> bool:
    return (effect.kind if isinstance(effect, Delete) else Kind.of(effect.object)) == STATEFUL_SET


def test_a_service_of_somebody_else_is_not_taken_over() -> None:
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "phi", "uid": "x"}, "spec": {}}
    plan = decide(replace(placed(gang()), children=(foreign,)))
    assert says(plan)["WorkspaceReady"] == ("False", "NameTaken")
    assert children(plan) == ()
    assert not plan.settled, "no event tells that it is gone"


def balanced(value: str) -> Observed:
    """Serving, with a load balancer; the annotation is ``value`` now."""
    first = settled()
    assert first.workspace is not None
    first.workspace["metadata"]["annotations"]["kaito.sh/enablelb"] = "True"
    alone = replace(first, children=())
    (balancer,) = children(Plan(tuple(it for it in decide(alone).effects if _is_core(it))))
    service = served(alone, ("True", "", ""))
    first.workspace["metadata"]["annotations"]["kaito.sh/enablelb"] = value
    return replace(first, children=(service, balancer))


def _is_core(effect: object) -> bool:
    return isinstance(effect, Apply) and Kind.of(effect.object) == SERVICE


def told(observed: Observed) -> str:
    conditions = status(decide(observed))["conditions"]
    return str(next(it["message"] for it in conditions if it["type"] == "InferenceReady"))


def test_a_load_balancer_is_told_with_its_address() -> None:
    observed = balanced("True")
    assert told(observed) == "answers at http://phi.default.example.com/chat, and soon at a load balancer"
    observed.children[1]["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}
    assert told(observed).endswith("and at http://203.0.113.7/chat")


def test_a_load_balancer_that_is_not_wanted_any_more_goes_before_its_mark() -> None:
    effects = [it for it in decide(balanced("False")).effects if isinstance(it, Delete | Apply)]
    assert isinstance(effects[0], Delete)
    assert (effects[0].kind, effects[0].name) == (SERVICE, "phi-lb")
    assert isinstance(effects[1], Apply)
    assert "kaito.sh/enablelb" not in effects[1].object["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("memory", "verdict"),
    [("8192", "is too small: phi-3-mini-4k-instruct needs 9 GiB"), ("15109", ""), ("", "")],
    ids=["small", "enough", "unlabelled"],
)
def test_a_brought_nodes_memory_counts_where_it_is_labelled(memory: str, verdict: str) -> None:
    own = node("mine", ours=False)
    own["metadata"]["labels"] |= {"nvidia.com/gpu.memory": memory} if memory else {}
    plan = decide(Observed(workspace(instance_type=""), (), (own,)))
    message = next(it["message"] for it in status(plan)["conditions"] if it["type"] == "ResourceReady")
    assert (verdict or "mine") in message
    assert says(plan)["ResourceReady"][0] == ("Unknown" if verdict else "True")
