"""What fails on AKS, and what comes after it: through the real SDK and the emulator, in virtual time."""

from __future__ import annotations

import pytest

from kaito.api.resources import MACHINE, NODE_CLAIM
from kaito.embedded.arm.emulator import Fault
from kaito.runtime.keys import Key
from tests.chaos.world import World, error, first


@pytest.mark.parametrize(
    ("code", "message", "reason", "status"),
    [
        ("AllocationFailed", "Allocation failed. We do not have sufficient capacity", "InsufficientCapacity", "False"),
        ("OperationNotAllowed", "exceeding approved Family Cores quota", "SubscriptionQuotaReached", "False"),
        ("OperationNotAllowed", "approved Total Regional Cores quota", "RegionalQuotaReached", "False"),
        ("SkuNotAvailable", "The requested size is not available in location", "SkuNotAvailable", "False"),
    ],
)
def test_what_azure_has_not_is_told_in_its_words_and_tried_again(
    code: str, message: str, reason: str, status: str
) -> None:
    world = World(faults=first(Fault(outcome=(code, message))))
    world.until(reason)
    said = world.says()[0]
    assert said[0] == status
    assert message in said[2]
    failed = world.seconds
    world.settle()
    assert world.says()[0][1] == "Launched"
    assert world.wire() == ["PUT 201", "DELETE 202", "PUT 201"]
    assert world.seconds - failed >= 60, "it is left alone for a while"


def test_instance_types_are_tried_in_order_without_a_pause() -> None:
    refuse = error(400, "ErrCode_InsufficientVCPUQuota", "Insufficient vcpu quota")
    world = World("Standard_NC24s_v3", "Standard_NC12s_v3", faults=first(refuse))
    world.settle()
    (pool,) = world.arm.pools().values()
    assert pool["vmSize"] == "Standard_NC12s_v3"
    assert world.reasons == ["SubscriptionQuotaReached", "Launching", "Launched"]
    assert world.wire() == ["PUT 400", "PUT 201"]


@pytest.mark.parametrize(
    ("fault", "reason", "pause"),
    [
        (error(409, "OperationNotAllowed", "Another agentpool operation is in progress"), "ClusterBusy", 15),
        (error(429, "TooManyRequests", "slow down", **{"Retry-After": "77"}), "AzureThrottled", 77),
        (error(429, "TooManyRequests", "slow down"), "AzureThrottled", 30),
        (error(503, "ServerUnavailable", "later"), "AzureUnavailable", 10),
    ],
)
def test_what_passes_is_waited_for_and_no_attempt_is_lost(fault: Fault, reason: str, pause: float) -> None:
    world = World("Standard_NC12s_v3", "Standard_NC24s_v3", faults=first(fault))
    plan = world.turn()
    assert world.says()[0][:2] == ("Unknown", reason)
    assert plan.requeue_after == pause
    world.settle()
    (pool,) = world.arm.pools().values()
    assert pool["vmSize"] == "Standard_NC12s_v3"


@pytest.mark.parametrize(
    "fault",
    [Fault(outcome=("AllocationFailed", "no capacity")), error(400, "OverconstrainedAllocationRequest", "no capacity")],
)
def test_a_claim_of_a_node_pool_goes_where_azure_has_none_of_its_types(fault: Fault) -> None:
    owner = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": "gpus", "uid": "u-0", "controller": True}
    world = World("Standard_NC24s_v3", "Standard_NC12s_v3", kind=NODE_CLAIM, faults=first(fault, fault))
    world.create(owner=owner)
    world.settle()
    assert world.claim is None
    assert world.arm.pools() == {}
    assert [reason for reason in world.reasons if reason != "Terminating"][-1:] == ["InsufficientCapacity"]
    assert world.wire().count("DELETE 202") == world.wire().count("PUT 201")


def test_a_refused_delete_leaves_the_pause_and_the_reason() -> None:
    quota = ("OperationNotAllowed", "exceeding approved Family Cores quota")
    busy, denied = error(409, "AnotherOperation", "busy"), error(403, "AuthorizationFailed", "may not delete")
    deletes = first(busy, denied, method="DELETE")
    puts = first(Fault(outcome=quota))
    world = World(faults=lambda method, name: deletes(method, name) if method == "DELETE" else puts(method, name))
    world.until("SubscriptionQuotaReached")
    assert world.claim is not None
    record = {key: value for key, value in world.claim["metadata"]["annotations"].items() if "launch" in key}
    world.seconds += 2
    for said, pause in (("busy", 15), ("give the function's identity the role Contributor", 60)):
        plan = world.turn()
        assert (world.says()[0][:2], plan.requeue_after) == (("False", "SubscriptionQuotaReached"), pause)
        assert world.says()[0][2].count("Azure refuses what is next") == 1
        assert said in world.says()[0][2]
        assert record.items() <= world.claim["metadata"]["annotations"].items()
        world.seconds += pause
    failed = world.seconds
    world.settle()
    assert world.wire() == ["PUT 201", "DELETE 409", "DELETE 403", "DELETE 202", "PUT 201"]
    assert world.seconds - failed > 400, "ten minutes from when it failed"


def test_an_aborted_pool_was_too_late_and_did_not_fail() -> None:
    world = World(faults=first(Fault(forever=True)))
    world.until("LaunchTimeout", turns=400)
    while world.wire() == ["PUT 201"] or not world.wire()[-1].startswith("PUT"):
        world.turn()
        assert "LaunchFailed" not in world.reasons
        world.seconds += 10
    assert world.wire() == ["PUT 201", "POST 202", "DELETE 202", "PUT 201"]


def test_what_only_another_attempt_can_mend_is_tried_with_the_same_instance_type() -> None:
    world = World("Standard_NC24s_v3", "Standard_NC12s_v3", faults=first(Fault(outcome=("Oops", "no idea"))))
    world.until("LaunchFailed")
    world.settle()
    assert world.arm.pools()[world.pool]["vmSize"] == "Standard_NC24s_v3"


def test_when_azure_asks_for_quiet_nobody_asks() -> None:
    world = World(faults=first(error(429, "TooManyRequests", "slow down", **{"Retry-After": "77"}), method="GET"))
    other = Key(MACHINE, "", "ws112233445")
    world.create(other)
    asked = [world.turn().requeue_after]
    world.seconds += 7
    asked += [world.turn().requeue_after, world.turn(key=other).requeue_after]
    assert asked == [77, 70, 70]
    assert len(world.arm.log) == 1
    assert world.says(other)[0][:2] == ("Unknown", "AzureThrottled")
    world.seconds += 70
    world.settle()
    assert world.says()[0][0] == "True"
