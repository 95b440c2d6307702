"""Nodes of agent pools that come late or never, fall silent, or outlive what they are of; in virtual time."""

from __future__ import annotations

from kaito.api.resources import MACHINE, NODE, NODE_CLAIM
from kaito.runtime.keys import Key
from tests.chaos.world import World


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
    world.until("RegistrationTimeout")


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
    world = World()
    other = Key(MACHINE, "", "ws112233445")
    world.create(other)
    for _ in range(20):
        world.turn(key=other)
        world.turn()
        world.seconds += 10
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
