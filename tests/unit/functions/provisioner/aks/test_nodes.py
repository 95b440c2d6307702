"""Nodes of agent pools that come late or never, fall silent, or outlive what they are of; in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.provisioner.aks.effects import CreatePool
from functions.provisioner.reconcile import reconcile
from kaito.api.claims import LABEL_CLAIM
from kaito.api.resources import MACHINE, NODE, NODE_CLAIM
from kaito.embedded.arm.emulator import NO_FAULT, Fault
from kaito.runtime.keys import Key
from tests.chaos.world import CATALOGUE, World


def with_two_claims() -> tuple[World, Key]:
    """Both Ready; the second one's key."""
    world, other = World(), Key(MACHINE, "", "ws112233445")
    world.create(other)
    for _ in range(20):
        world.turn(key=other)
        world.turn()
        world.seconds += 10
    return world, other


def test_a_node_that_never_joins_is_given_up() -> None:
    world = World()
    world.kubelet = False
    world.until("RegistrationTimeout")
    assert "has joined within 15 minutes" in world.says()[0][2]
    world.turn()  # and then it goes
    world.kubelet = True
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"]


def test_a_node_that_is_lost_is_waited_for_anew() -> None:
    world = World()
    world.settle()
    world.seconds += 86_400
    world.cluster.lose(NODE, "aks-ws012345678-12345678-vmss000000")
    plan = world.turn()
    assert [reason for _, reason, _ in world.says()[:2]] == ["Launched", "NodeNotFound"]
    assert plan.requeue_after == 900
    world.until("NodeLost")
    assert world.says()[0][0] == "Unknown"
    assert "node aks-ws012345678-12345678-vmss000000 of agent pool ws012345678 is gone" in world.says()[0][2]
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"]


def test_a_node_that_falls_silent_is_replaced_by_one_of_its_kind() -> None:
    world = World("Standard_NC24s_v3", "Standard_NC12s_v3")
    world.settle()
    world.report("Unknown")
    plan = world.turn()
    assert [status for status, _, _ in world.says()] == ["True", "True", "Unknown", "Unknown"]
    assert plan.requeue_after == 600
    world.until("NodeUnhealthy")
    assert world.seconds >= 600
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"]
    assert [status for status, _, _ in world.says()] == ["True"] * 4
    assert world.arm.pools()[world.pool]["vmSize"] == "Standard_NC24s_v3"


def test_where_all_nodes_fall_silent_none_is_replaced() -> None:
    world, other = with_two_claims()
    world.report("Unknown")
    for _ in range(20):
        world.turn()
        world.seconds += 3600
    assert world.wire() == ["PUT 201", "PUT 201"]
    assert world.says()[2][1] == "NodeNotReady"
    world.report("True", [node["metadata"]["name"] for node in world.nodes(other)])
    world.settle()
    assert world.wire() == ["PUT 201", "PUT 201", "DELETE 202", "PUT 201"]


def test_a_node_that_outlives_its_pool_goes_before_the_next_is_made() -> None:
    world = World()
    world.settle()
    (stale,) = world.nodes()
    world.controller = False
    world.arm.take_away(world.pool)
    world.turn()
    world.seconds += 60
    plan = world.turn()
    assert [str(effect).partition(":")[0] for effect in plan.effects[:2]] == [
        f"delete Node {stale['metadata']['name']}",
        f"create agent pool {world.pool}",
    ]
    assert [reason for _, reason, _ in world.says()[:2]] == ["Launching", "NodeNotFound"]
    world.settle()
    (node,) = world.nodes()
    assert node["metadata"]["uid"] != stale["metadata"]["uid"]


def test_a_node_of_an_earlier_pool_is_not_taken_for_one_of_the_next() -> None:
    world = World()
    world.settle()
    old = world.observe()
    world.controller = False
    world.arm.take_away(world.pool)
    world.seconds += 61
    world.boot()  # its Node outlives it, and another of our processes has made the next one
    world.seconds += 1
    plan = reconcile(replace(old, nodes=(), pool=None), CATALOGUE, world.settings, world.now)
    for effect in plan.effects:
        if isinstance(effect, CreatePool):
            world.pools.run(effect)
    world.turn()
    assert [reason for _, reason, _ in world.says()[:2]] == ["Launching", "NodeNotFound"]
    assert world.nodes() == ()
    world.settle()
    assert [status for status, _, _ in world.says()] == ["True"] * 4


def test_a_node_that_outlives_its_claims_pool_goes_with_the_claim() -> None:
    world = World()
    world.settle()
    world.controller = False
    world.delete()
    world.settle()
    assert world.claim is None
    assert world.nodes() == ()


def test_an_event_of_a_node_concerns_no_claim_of_the_other_kind() -> None:
    world = World()
    world.settle()
    plan = world.turn(key=Key(NODE_CLAIM, "", world.key.name))
    assert plan.effects == ()
    assert world.wire() == ["PUT 201"]


def test_what_a_node_starts_with_is_waited_for() -> None:
    world = World(kind=NODE_CLAIM)
    assert world.claim is not None
    taint = {"key": "gpu.example/driver", "effect": "NoSchedule"}
    claim = {**world.claim, "spec": {**world.claim["spec"], "startupTaints": [taint]}}
    world.cluster.change(claim)
    for _ in range(14):
        world.turn()
        world.seconds += 10
    (node,) = world.nodes()
    world.cluster.change({**node, "spec": {**node["spec"], "taints": [*node["spec"]["taints"], taint]}})
    world.turn()
    assert world.says()[2][:2] == ("Unknown", "StartupTaints")
    world.cluster.change({**node, "metadata": world.nodes()[0]["metadata"]})
    world.settle()
    assert world.says()[2][0] == "True"


def test_a_node_that_works_outlives_a_failed_operation_of_its_pool() -> None:
    world = World()
    world.settle()
    world.arm.upgrade(world.pool, ("InternalOperationError", "the upgrade failed"))
    assert world.turn().requeue_after == 10
    assert world.says()[0] == ("True", "Launched", "agent pool ws012345678 is Upgrading: Standard_NC12s_v3")
    world.seconds += 130
    world.settle()
    assert world.arm.pools()[world.pool]["provisioningState"] == "Failed"
    assert [status for status, _, _ in world.says()] == ["True"] * 4
    assert world.says()[0][2].endswith("is Failed (InternalOperationError: the upgrade failed): Standard_NC12s_v3")
    assert world.wire() == ["PUT 201"]
    world.report("Unknown")
    world.until("NodeUnhealthy")
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"], "as any node"


def test_lost_nodes_are_not_replaced_all_at_once() -> None:
    world, other = with_two_claims()
    for node in world.nodes():
        world.cluster.lose(NODE, node["metadata"]["name"])
    for _ in range(20):
        world.turn()
        world.turn(key=other)
        world.seconds += 3600
    assert world.wire() == ["PUT 201", "PUT 201"]
    assert "not replaced while over 20% of KAITO's nodes are lost or not Ready" in world.says()[0][2]


def test_a_node_whose_gpus_never_come_is_given_up_and_one_that_had_them_is_not() -> None:
    world = World()
    world.settle()
    world.plugin = False
    world.report("True")
    world.seconds += 86_400
    world.turn()
    assert world.says()[2][:2] == ("Unknown", "ResourceNotRegistered")
    assert world.wire() == ["PUT 201"]

    new = World("Standard_NC24s_v3", "Standard_NC12s_v3")
    new.plugin = False
    new.until("ResourceNotRegistered")
    assert new.says()[0][0] == "False"
    assert "offers 0 of 4 nvidia.com/gpu 15 minutes after it joined" in new.says()[0][2]
    new.plugin = True
    new.settle()
    assert new.wire() == ["PUT 201", "DELETE 202", "PUT 201"]
    assert new.arm.pools()[new.pool]["vmSize"] == "Standard_NC24s_v3", "another type would have no GPUs either"


def test_a_node_that_comes_back_before_it_is_replaced_stays() -> None:
    world = World()
    world.settle()
    world.report("Unknown")
    world.seconds += 601
    world.turn(writes=1)
    assert world.claim is not None
    assert world.claim["metadata"]["annotations"]["kaito.sh/launch-attempt"] == "1"
    world.report("True")
    world.settle()
    assert world.claim["metadata"]["annotations"]["kaito.sh/launch-attempt"] == "0"
    world.cluster.lose(NODE, "aks-ws012345678-12345678-vmss000000")
    assert world.turn().requeue_after == 900, "it is waited for as long as any"
    assert world.wire() == ["PUT 201"]


def test_of_two_nodes_neither_is_judged() -> None:
    world = World(faults=lambda method, _: Fault(nodes=2) if method == "PUT" else NO_FAULT)
    world.until("Launched")
    world.report("Unknown")
    world.seconds += 86_400
    plan = world.turn()
    assert world.says()[1][1] == "MultipleNodesFound"
    assert world.wire() == ["PUT 201"]
    assert plan.effects == ()


@pytest.mark.parametrize("deleting", [False, True])
def test_a_node_that_works_without_a_pool_is_not_taken_for_one_that_is_gone(*, deleting: bool) -> None:
    """As where the settings name a cluster that is not this one."""
    world = World()
    world.settle()
    world.arm.load({"version": 99, "pools": {}, "operations": {}})
    world.boot = lambda: None  # type: ignore[method-assign]
    if deleting:
        world.delete()
    world.turn()
    assert world.says()[0][:2] == ("Unknown", "AgentPoolNotFound")
    assert world.says()[0][2].endswith("is AZURE_CLUSTER_NAME this cluster's?")
    assert len(world.nodes()) == 1
    assert world.wire() == ["PUT 201"]
    world.report("Unknown")
    world.turn()
    assert world.nodes() == (), "its machine is gone"
    assert (world.claim is None) is deleting


def test_a_node_of_another_pool_is_nobodys_business() -> None:
    world = World()
    world.settle()
    (node,) = world.nodes()
    lent = {**node["metadata"]["labels"], "kubernetes.azure.com/agentpool": "nodepool1", LABEL_CLAIM: world.key.name}
    world.cluster.create({**node, "metadata": {"name": "lent", "labels": lent}})
    assert [it["metadata"]["name"] for it in world.observe().nodes] == [node["metadata"]["name"]]


def test_a_usable_node_has_karpenters_labels() -> None:
    world = World()
    world.settle()
    (node,) = world.nodes()
    labels = node["metadata"]["labels"]
    assert (labels["karpenter.sh/registered"], labels["karpenter.sh/initialized"]) == ("true", "true")
    assert world.claim is not None
    assert world.claim["status"]["imageID"] == "AKSUbuntu-2204gen2containerd-emulated"


def test_a_claim_may_have_a_name_that_is_no_label() -> None:
    world = World(name="a" * 64)
    world.settle()
    (node,) = world.nodes()
    assert LABEL_CLAIM not in node["metadata"]["labels"]
    world.delete()
    world.settle()
    assert world.arm.pools() == {}
