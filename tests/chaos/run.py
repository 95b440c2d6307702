"""One seeded run: a claim, faults of Azure, kills at any write, late and old looks; then calm, and what must hold."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import TAG_UID
from functions.provisioner.observed import Observed
from kaito.api.resources import MACHINE, NODE_CLAIM
from kaito.embedded.arm.emulator import NO_FAULT, Fault, Response
from kaito.runtime.plan import Plan
from tests.chaos.world import World

STEPS: Final = 30
#: What happens, and how often in relation.
EVENTS: Final = {"turn": 10, "killed": 6, "look": 5, "late": 5, "delete": 2, "create": 4, "kubelet": 1, "taken": 1}
TYPES: Final = ("Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC48ads_A100_v4")
#: What operations fail with.
OUTCOMES: Final = (
    ("AllocationFailed", "Allocation failed. We do not have sufficient capacity for the requested VM size"),
    ("OverconstrainedZonalAllocationRequest", "Overconstrained allocation"),
    ("OperationNotAllowed", "Operation could not be completed as it results in exceeding approved Family Cores quota"),
    ("SkuNotAvailable", "The requested size is not available in location 'here'"),
    ("Canceled", "The operation was overridden by a later operation"),
    ("InternalOperationError", "something went wrong"),
)
#: What requests are answered with.
ANSWERS: Final = (
    Response(409, {"code": "OperationNotAllowed", "message": "Another agentpool operation is in progress"}),
    Response(429, {"code": "TooManyRequests", "message": "slow down"}, {"Retry-After": "20"}),
    Response(429, {"code": "TooManyRequests", "message": "slow down"}),
    Response(500, {"error": {"code": "InternalServerError", "message": "oops"}}),
    Response(503, None),
    Response(400, {"code": "ErrCode_InsufficientVCPUQuota", "message": "Insufficient vcpu quota"}),
)


@dataclass(slots=True)
class Found:
    """What must not be, with the run's history."""

    history: list[str] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def see(self, what: str, *, holds: bool, details: object) -> None:
        if not holds:
            self.wrong[what] += 1
            self.history.append(f"WRONG: {what}: {details}")


def run(seed: int) -> Found:
    """The run of a seed: always the same one."""
    dice, found = random.Random(seed), Found()
    calm = False

    def fault(method: str, _name: str) -> Fault:
        if calm or dice.random() > (0.15 if method == "GET" else 0.4):
            return NO_FAULT
        if method in ("GET", "LIST") or dice.random() < 0.5:
            chosen = Fault(dice.choice(ANSWERS), done=dice.random() < 0.4)
        else:
            chosen = Fault(outcome=dice.choice(OUTCOMES), forever=dice.random() < 0.2)
        found.history.append(f"  fault of {method}: {chosen}")
        return chosen

    types = dice.sample(TYPES, dice.randint(1, 3))
    world = World(*types, kind=dice.choice((MACHINE, NODE_CLAIM)), faults=fault)
    world.foreign = dice.random() < 0.1
    if world.foreign:
        world.arm.put_foreign(world.pool)
    theirs = world.arm.pools().get(world.pool)
    old: list[Observed] = []
    for _ in range(dice.randint(5, STEPS)):
        _step(world, dice, old, found)
        _look(world, found)
    calm, world.kubelet = True, True
    found.history.append(f"{world.seconds:.0f} calm")
    world.arm.end_operations()
    _calm(world, found)
    if world.foreign:
        found.see("foreign", holds=world.arm.pools().get(world.pool) == theirs, details=world.arm.pools())
    elif world.claim is not None:
        found.see("unsettled", holds=world.says()[-1:] != [] and world.says()[-1][0] == "True", details=world.says())
    if world.claim is not None:
        world.delete()
        _calm(world, found)
    found.see("unsettled", holds=world.claim is None, details=world.says())
    left = [name for name, pool in world.arm.pools().items() if pool.get("tags")]
    found.see("leaked", holds=not left, details=left)
    return found


def _step(world: World, dice: random.Random, old: list[Observed], found: Found) -> None:
    """Something happens."""
    match dice.choices(list(EVENTS), list(EVENTS.values()))[0]:
        case "turn":
            _turn(world, found)
        case "killed":
            writes = dice.randint(0, 3)
            plan = world.turn(writes)
            found.history.append(f"{world.seconds:.0f} killed after {writes}: {[str(it) for it in plan.effects]}")
        case "look":
            old.append(world.observe())
        case "late" if old:
            plan = world.turn(seen=old.pop(dice.randrange(len(old))))
            found.history.append(f"{world.seconds:.0f} by an old look: {[str(effect) for effect in plan.effects]}")
        case "delete" if world.claim is not None:
            world.delete()
            found.history.append(f"{world.seconds:.0f} deleted")
        case "create" if world.claim is None:
            world.create()
            found.history.append(f"{world.seconds:.0f} created anew")
        case "taken" if not world.foreign:
            world.arm.take_away(world.pool)
            found.history.append(f"{world.seconds:.0f} its pool is deleted by hand")
        case "kubelet":
            world.kubelet = not world.kubelet
            found.history.append(f"{world.seconds:.0f} kubelets {'work' if world.kubelet else 'are silent'}")
    world.seconds += dice.choice((0, 1, 5, 10, 60, 130, 700, 2000))


def _turn(world: World, found: Found) -> Plan:
    """A reconcile of what is, after which what is said must be so, and nothing be left of what is gone."""
    uid = world.claim["metadata"]["uid"] if world.claim else None
    seen = world.observe()
    plan = world.turn(seen=seen)
    found.history.append(f"{world.seconds:.0f} turn: {[str(effect) for effect in plan.effects]}")
    if isinstance(seen.pool, AzureError):
        return plan
    pools = world.arm.pools()
    if uid and world.claim is None:
        left = [name for name, pool in pools.items() if (pool.get("tags") or {}).get(TAG_UID) == uid]
        found.see("leaked", holds=not left, details=left)
    pool = pools.get(world.pool)
    launched = pool is not None and pool["provisioningState"] == "Succeeded" and bool(pool.get("tags"))
    for condition in ((world.claim or {}).get("status") or {}).get("conditions") or []:
        true = launched and (condition["type"].endswith("Launched") or bool(world.nodes()))
        if world.claim and not world.claim["metadata"].get("deletionTimestamp"):
            found.see("lies", holds=condition["status"] != "True" or true, details=(condition, pool))
    return plan


def _look(world: World, found: Found) -> None:
    """What must hold at any time: a pool that is there is not asked for again."""
    puts = [answer.status for request, answer in world.arm.log if request.method == "PUT"]
    found.see("doubled", holds=200 not in puts, details=puts)
    world.arm.log.clear()


def _calm(world: World, found: Found) -> None:
    """Turns until all is done."""
    for _ in range(400):
        plan = _turn(world, found)
        if not plan.effects and (plan.settled or (world.says() and world.says()[0][1] == "NameTaken")):
            return
        world.seconds += plan.requeue_after if plan.requeue_after is not None else 1
    found.see("unsettled", holds=False, details=world.says())
