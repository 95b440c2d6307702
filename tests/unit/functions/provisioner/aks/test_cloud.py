"""A claim's way on AKS, through the real SDK and the emulator, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaito.api.resources import MACHINE, NODE_CLAIM, Kind
from kaito.embedded.arm.emulator import Fault
from kaito.runtime.keys import Key
from tests.chaos.world import CLUSTER, World, error, first


@pytest.mark.parametrize("kind", [MACHINE, NODE_CLAIM])
def test_from_a_claim_to_a_ready_node_and_back(kind: Kind) -> None:
    world = World(kind=kind)
    world.settle()
    assert [status for status, _, _ in world.says()] == ["True"] * 4
    assert world.claim is not None
    assert world.claim["status"]["providerID"].startswith("azure:///subscriptions/s-1/")
    (pool,) = world.arm.pools().values()
    assert (pool["vmSize"], pool["count"], pool["mode"], pool["osDiskSizeGB"]) == ("Standard_NC12s_v3", 1, "User", 50)
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule"]
    assert pool["tags"]["kaito.sh_claim-uid"] == "u-1"
    world.delete()
    world.settle()
    assert world.claim is None
    assert world.arm.pools() == {}
    assert world.wire() == ["PUT 201", "DELETE 202"]


def test_the_finalizer_comes_before_the_first_word_to_azure() -> None:
    world = World()
    world.turn(writes=1)
    assert world.claim is not None
    assert world.claim["metadata"]["finalizers"] == ["karpenter.sh/termination"]
    assert world.wire() == []


def test_accepted_and_not_answered_is_created_once() -> None:
    fault = replace(error(500, "InternalServerError", "oops"), done=True)
    world = World(faults=first(fault))
    world.settle()
    assert world.wire() == ["PUT 500"]
    assert world.says()[0][0] == "True"


def test_a_pool_of_somebody_else_is_never_touched() -> None:
    world = World()
    world.arm.put_foreign("ws012345678")
    world.until("NameTaken")
    assert world.says()[0][0] == "False"
    world.delete()
    world.settle()
    assert world.claim is None
    assert world.wire() == []
    assert list(world.arm.pools()) == ["ws012345678"]


def test_a_pool_of_an_earlier_claim_goes_first() -> None:
    world = World()
    world.settle()
    world.create()
    assert world.claim is not None
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"]
    (pool,) = world.arm.pools().values()
    assert pool["tags"]["kaito.sh_claim-uid"] == world.claim["metadata"]["uid"]


def test_a_pool_without_a_claim_is_deleted() -> None:
    world = World()
    world.settle()
    world.cluster.lose(MACHINE, "ws012345678")
    world.settle()
    assert world.arm.pools() == {}


def test_a_pool_that_is_never_done_is_aborted_and_tried_again() -> None:
    world = World(faults=first(Fault(forever=True)))
    world.settle(turns=400)
    assert world.wire() == ["PUT 201", "POST 202", "DELETE 202", "PUT 201"]
    assert "LaunchTimeout" in world.reasons


def test_a_claim_deleted_while_its_pool_is_made_leaves_nothing() -> None:
    world = World()
    world.turn()
    world.delete()
    world.settle()
    assert world.claim is None
    assert world.wire() == ["PUT 201", "POST 202", "DELETE 202"]
    assert world.arm.pools() == {}


@pytest.mark.parametrize(
    ("wrong", "todo"),
    [
        ({"subscription": "s-2"}, "set ARM_SUBSCRIPTION_ID to the cluster's subscription"),
        ({"resource_group": "other"}, "set ARM_RESOURCE_GROUP to the cluster's resource group"),
        ({"name": "other"}, "set AZURE_CLUSTER_NAME and ARM_RESOURCE_GROUP to this cluster's"),
    ],
)
def test_a_wrong_setting_is_told_and_keeps_the_finalizer(wrong: dict[str, str], todo: str) -> None:
    world = World(cluster=replace(CLUSTER, **wrong))
    world.turn()
    assert world.says()[0][:2] == ("False", "AzureConfiguration")
    assert world.says()[0][2].startswith(todo)
    world.delete()
    world.turn()
    assert world.claim is not None
    assert world.claim["metadata"]["finalizers"] == ["karpenter.sh/termination"]


def test_a_ready_claim_outlives_what_azure_does_not_answer() -> None:
    world = World()
    world.settle()
    world.arm._faults = first(error(503, "ServerUnavailable", "later"), method="GET")
    plan = world.turn()
    assert world.says()[0][:2] == ("True", "Launched")
    assert world.says()[3][0] == "True"
    assert plan.requeue_after == 10


def test_killed_after_any_write_it_comes_to_the_same() -> None:
    for writes in range(4):
        world = World(faults=first(Fault(outcome=("AllocationFailed", "no capacity"))))
        for _ in range(12):
            world.turn(writes=writes)
            world.seconds += 30
        world.settle()
        assert world.says()[0][0] == "True"
        assert len(world.arm.pools()) == 1
        world.delete()
        for _ in range(3):
            world.turn(writes=writes)
        world.settle()
        assert world.arm.pools() == {}


def test_a_pool_that_somebody_deletes_is_told_and_made_again() -> None:
    world = World()
    world.settle()
    world.arm.take_away(world.pool)
    world.turn()
    assert world.says()[0] == ("Unknown", "Launching", "agent pool ws012345678 is going")
    world.settle()
    assert world.says()[0][0] == "True"
    assert world.wire() == ["PUT 201", "PUT 201"]


def with_a_namesake() -> tuple[World, Key]:
    """A claim that is Ready, and one of its name and the other kind that has been looked at; the second one's key."""
    world = World()
    world.settle()
    other = Key(NODE_CLAIM, "", world.key.name)
    world.create(other)
    world.turn(key=other)
    return world, other


def test_of_two_claims_of_one_name_the_second_says_so_and_takes_nothing() -> None:
    world, other = with_a_namesake()
    assert world.says(other)[0][:2] == ("False", "NameTaken")
    assert "that of Machine ws012345678" in world.says(other)[0][2]
    world.delete(other)
    world.turn(key=other)
    assert world.find(other) is None
    assert world.wire() == ["PUT 201"]


def test_a_cluster_that_does_one_thing_at_a_time_is_waited_for() -> None:
    world = World(exclusive=True)
    other = Key(MACHINE, "", "ws112233445")
    world.create(other)
    world.turn()
    plan = world.turn(key=other)
    assert world.says(other)[0][:2] == ("Unknown", "ClusterBusy")
    assert plan.requeue_after == 15
    world.seconds += 130
    world.turn(key=other)
    assert world.wire() == ["PUT 201", "PUT 409", "PUT 201"]


@pytest.mark.parametrize("name", ["ws012345678", "ws112233445"])
def test_a_pool_of_another_clusters_kaito_is_never_touched(name: str) -> None:
    world = World()
    world.settle()
    (pool,) = world.arm.pools().values()
    theirs = World(name=name)
    theirs.arm.put_foreign(name, tags={**pool["tags"], "kaito.sh_claim": name, "kaito.sh_cluster": "another"})
    theirs.until("NameTaken")
    assert "is not this KAITO's" in theirs.says()[0][2]
    theirs.cluster.lose(theirs.key.kind, name)
    theirs.turn()
    assert theirs.wire() == []
    assert list(theirs.arm.pools()) == [name]


def test_of_two_claims_of_one_name_the_second_takes_no_node_along() -> None:
    world, other = with_a_namesake()
    world.delete(other)
    world.turn(key=other)
    assert len(world.nodes()) == 1
    world.settle()
    assert [status for status, _, _ in world.says()] == ["True"] * 4


def test_what_is_said_of_a_claim_that_goes() -> None:
    world = World(faults=first(error(409, "ScopeLocked", "the group is locked"), Fault(forever=True), method="DELETE"))
    world.settle()
    world.delete()
    plan = world.turn()
    assert world.says()[0][:2] == ("Unknown", "Terminating")
    assert "remove the lock that the message names" in world.says()[0][2]
    assert plan.requeue_after == 60
    world.turn()
    assert world.says()[0] == (
        "Unknown",
        "Terminating",
        f"agent pool {world.pool} is going, since 2026-11-26T12:02:01Z",
    )
    world.seconds += 1900
    world.turn()
    assert world.says()[0][:2] == ("False", "TerminationTimeout")
    world.arm.end_deletions()
    world.settle()
    assert world.claim is None


def test_a_claim_that_has_lost_its_labels_leaves_nothing() -> None:
    world = World()
    world.settle()
    assert world.claim is not None
    world.cluster.change(world.claim, labels={})
    world.delete()
    world.settle()
    assert world.claim is None
    assert world.arm.pools() == {}
