from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.api.resources import Object
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.scheduling import Unschedulable, needs_node, place

GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def node(name: str, *, gpus: int = 0, ready: bool = True, taints: list[Object] | None = None, **labels: str) -> Object:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints or []},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def spec(gpus: int = 0, **fields: Any) -> Object:
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"containers": [{"resources": {"limits": limits}}], **fields}


def affinity(*expressions: Object, kind: str = "matchExpressions") -> Object:
    terms = {"nodeSelectorTerms": [{kind: list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("wanted", "there", "message"),
    [
        (spec(), [], "no nodes available to schedule pods"),
        (spec(nodeSelector={"a": "1"}), [node("n", a="1")], None),
        (
            spec(1, nodeSelector={"a": "1"}),
            [node("n", a="1"), node("m", gpus=1)],
            "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, "
            "1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (spec(1), [node("n", gpus=1)], None),
        (spec(2), [node("n", gpus=1)], "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        (
            spec(),
            [node("n", ready=False)],
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
        ),
        (
            spec(),
            [node("n", taints=[GPU_TAINT]), node("m", taints=[GPU_TAINT])],
            "0/2 nodes are available: 2 node(s) had untolerated taint {sku: gpu}.",
        ),
        (spec(tolerations=[{"operator": "Exists"}]), [node("n", taints=[GPU_TAINT])], None),
        (
            spec(tolerations=[{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]),
            [node("n", taints=[GPU_TAINT])],
            None,
        ),
        (
            spec(tolerations=[{"key": "sku", "value": "cpu"}]),
            [node("n", taints=[GPU_TAINT])],
            "0/1 nodes are available: 1 node(s) had untolerated taint {sku: gpu}.",
        ),
        (spec(), [node("n", taints=[{**GPU_TAINT, "effect": "PreferNoSchedule"}])], None),
        (spec(1, nodeName="n"), [node("m", gpus=1), node("n", gpus=1, ready=False, taints=[GPU_TAINT])], None),
        (
            spec(1, nodeName="n"),
            [node("m", gpus=1), node("n")],
            "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) didn't match the requested node name.",
        ),
    ],
)
def test_place(wanted: Object, there: list[Object], message: str | None) -> None:
    placed = place(wanted, there, {})
    assert placed == (Unschedulable(message) if message else "n")


@pytest.mark.parametrize(
    ("required", "fits"),
    [
        (affinity(expression("a", "In", "1", "2")), True),
        (affinity(expression("a", "In", "2")), False),
        (affinity(expression("a", "NotIn", "2")), True),
        (affinity(expression("b", "NotIn", "2")), True),
        (affinity(expression("a", "Exists")), True),
        (affinity(expression("b", "Exists")), False),
        (affinity(expression("b", "DoesNotExist")), True),
        (affinity(expression("a", "DoesNotExist")), False),
        (affinity(expression("a", "Gt", "0")), True),
        (affinity(expression("a", "Lt", "1")), False),
        (affinity(expression("a", "Exists"), expression("b", "Exists")), False),
        (affinity(), False),
        (affinity(expression("metadata.name", "In", "n"), kind="matchFields"), True),
    ],
)
def test_node_affinity(required: Object, fits: bool) -> None:
    assert (place(spec(affinity=required), [node("n", a="1")], {}) == "n") is fits


@pytest.mark.parametrize(
    ("wanted", "needs"),
    [
        (spec(), False),
        (spec(tolerations=[{"operator": "Exists"}]), False),
        (spec(1), True),
        (spec(nodeName="n"), True),
        (spec(nodeSelector={"a": "1"}), True),
        (spec(affinity=affinity(expression("a", "Exists"))), True),
    ],
)
def test_what_asks_nothing_of_a_node_needs_none(wanted: Object, needs: bool) -> None:
    assert needs_node(wanted) is needs


@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(1, 4), max_size=12))
def test_no_gpu_is_given_twice(capacities: list[int], asked: list[int]) -> None:
    cluster = Cluster()
    cluster.replace(node(f"n{index}", gpus=gpus) for index, gpus in enumerate(capacities))
    given_out: dict[str, int] = {}
    for holder, gpus in enumerate(asked):
        placed = cluster.bind(holder, spec(gpus), gpus)
        if isinstance(placed, str):
            given_out[placed] = given_out.get(placed, 0) + gpus
    assert all(used <= capacities[int(name[1:])] for name, used in given_out.items())


def test_a_released_gpu_is_given_again() -> None:
    released: list[bool] = []
    cluster = Cluster(lambda: released.append(True))
    cluster.replace([node("n", gpus=1)])
    assert cluster.bind("first", spec(1), 1) == "n"
    assert isinstance(cluster.bind("second", spec(1), 1), Unschedulable)
    cluster.release("nobody")
    assert released == []
    cluster.release("first")
    assert released == [True]
    assert cluster.bind("second", spec(1), 1) == "n"


def test_nodes_are_listed_once_there_was_a_list() -> None:
    cluster = Cluster()
    cluster.update(node("n"), gone=False)
    assert not cluster.listed.is_set()
    cluster.replace([])
    assert cluster.listed.is_set()
