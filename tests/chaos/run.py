"""One seeded run: claims, faults of Azure, kills at any write, late and old looks; then calm, and what must hold."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import TAG_UID, pool_name
from functions.provisioner.observed import Observed
from kaito.api.claims import CLAIM_KINDS
from kaito.embedded.arm.emulator import NO_FAULT, Fault
from kaito.embedded.arm.faults import seeded
from kaito.runtime.keys import Key
from kaito.runtime.plan import Plan
from tests.chaos.world import World

STEPS: Final = 30
#: What happens, and how often in relation.
EVENTS: Final = {
    "turn": 10,
    "killed": 6,
    "look": 5,
    "late": 5,
    "delete": 2,
    "create": 4,
    "namesake": 2,
    "kubelets": 1,
    "controller": 1,
    "sick": 2,
    "taken": 1,
}
TYPES: Final = ("Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC48ads_A100_v4")


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
    return _Run(seed).run()


class _Run:
    def __init__(self, seed: int) -> None:
        self._dice, self._found, self._calm = random.Random(seed), Found(), False
        self._wrong = seeded(self._dice)
        types = self._dice.sample(TYPES, self._dice.randint(1, 3))
        kind = self._dice.choice(CLAIM_KINDS)
        exclusive = self._dice.random() < 0.3
        self._world = World(*types, kind=kind, faults=self._fault, exclusive=exclusive)
        # A name that AKS would not take, and one more that it would.
        others = [Key(kind, "", name) for name in ("gpu-pool-x7k2p", "ws112233445")]
        self._keys = [self._world.key, *others[: self._dice.randint(0, 2)]]
        for key in self._keys[1:]:
            self._world.create(key)
        self._foreign = self._world.key if self._dice.random() < 0.1 else None
        if self._foreign:
            self._world.arm.put_foreign(self._world.pool)
        self._old: list[tuple[Key, Observed]] = []

    def run(self) -> Found:
        world, found = self._world, self._found
        theirs = world.arm.pools().get(world.pool)
        for _ in range(self._dice.randint(5, STEPS) * len(self._keys)):
            self._step()
            self._doubled()
        self._calm = world.kubelet = world.controller = True
        world.report("True")
        found.history.append(f"{world.seconds:.0f} calm")
        world.arm.end_operations()
        self._until_done()
        if self._foreign:
            found.see("foreign", holds=world.arm.pools().get(world.pool) == theirs, details=world.arm.pools())
        for key in self._keys:
            if world.find(key) is not None:
                found.see("unsettled", holds=self._is_told(key), details=(key, world.says(key)))
            world.delete(key)
        self._until_done()
        found.see("unsettled", holds=not any(map(world.find, self._keys)), details=list(map(world.says, self._keys)))
        left = [name for name, pool in world.arm.pools().items() if pool.get("tags")]
        nodes = [node["metadata"]["name"] for key in self._keys for node in world.nodes(key)]
        found.see("leaked", holds=not left and not nodes, details=(left, nodes))
        return found

    def _fault(self, method: str, name: str) -> Fault:
        chosen = NO_FAULT if self._calm else self._wrong(method, name)
        if chosen is not NO_FAULT:
            self._found.history.append(f"  fault of {method} {name}: {chosen}")
        return chosen

    def _step(self) -> None:
        """Something happens."""
        world, dice = self._world, self._dice
        key = dice.choice(self._keys)
        match dice.choices(list(EVENTS), list(EVENTS.values()))[0]:
            case "turn":
                self._turn(key)
            case "killed":
                writes = dice.randint(0, 3)
                plan = world.turn(writes, key=key)
                self._say(f"{key.name} killed after {writes}: {[str(it) for it in plan.effects]}")
            case "look":
                self._old.append((key, world.observe(key)))
            case "late" if self._old:
                key, seen = self._old.pop(dice.randrange(len(self._old)))
                plan = world.turn(seen=seen, key=key)
                self._say(f"{key.name} by an old look: {[str(effect) for effect in plan.effects]}")
            case "delete" if world.find(key) is not None:
                world.delete(key)
                self._say(f"{key.name} deleted")
            case "create" if world.find(key) is None:
                world.create(key)
                self._say(f"{key.name} created anew")
            case "namesake":  # an event of a Node does not say of which kind its claim is
                (other,) = (kind for kind in CLAIM_KINDS if kind != key.kind)
                plan = world.turn(key=Key(other, "", key.name))
                self._say(f"{key.name} of the other kind: {[str(effect) for effect in plan.effects]}")
            case "kubelets":
                world.kubelet = not world.kubelet
                self._say(f"kubelets {'work' if world.kubelet else 'are silent'}")
            case "controller":
                world.controller = not world.controller
                self._say(f"Nodes {'go with' if world.controller else 'outlive'} their machines")
            case "sick":
                status = dice.choice(("True", "False", "Unknown"))
                names = [node["metadata"]["name"] for node in world.nodes(key)]
                if names:
                    world.report(status, names)
                self._say(f"{names} report {status}")
            case "taken" if key != self._foreign:
                world.arm.take_away(pool_name(key))
                self._say(f"{key.name}: its pool is deleted by hand")
        world.seconds += dice.choice((0, 1, 5, 10, 60, 130, 700, 2000))

    def _turn(self, key: Key) -> Plan:
        """A reconcile of what is, after which what is said must be so, and nothing be left of what is gone."""
        world, found = self._world, self._found
        before, seen = world.find(key), world.observe(key)
        plan = world.turn(seen=seen, key=key)
        self._say(f"{key.name} turn: {[str(effect) for effect in plan.effects]}")
        if isinstance(seen.pool, AzureError):
            return plan
        pools, after = world.arm.pools(), world.find(key)
        if before and after is None:
            uid = before["metadata"]["uid"]
            left = [name for name, pool in pools.items() if (pool.get("tags") or {}).get(TAG_UID) == uid]
            found.see("leaked", holds=not left, details=left)
        if after is None or after["metadata"].get("deletionTimestamp"):
            return plan
        pool = pools.get(pool_name(key)) or {}
        of_it = (pool.get("tags") or {}).get(TAG_UID) == after["metadata"]["uid"]
        launched = of_it and pool["provisioningState"] == "Succeeded"
        machines = {node["metadata"]["name"] for node in world.arm.nodes()}
        joined = any(node["metadata"]["name"] in machines for node in world.nodes(key))
        for condition in (after.get("status") or {}).get("conditions") or []:
            true = launched if condition["type"].endswith("Launched") else joined
            found.see("lies", holds=condition["status"] != "True" or true, details=(condition, pool))
        return plan

    def _doubled(self) -> None:
        """What must hold at any time: a pool that is there is not asked for again."""
        puts = [answer.status for request, answer in self._world.arm.log if request.method == "PUT"]
        self._found.see("doubled", holds=200 not in puts, details=puts)
        self._world.arm.log.clear()

    def _until_done(self) -> None:
        """Turns until all is done."""
        for _ in range(400):
            plans = {key: self._turn(key) for key in self._keys}
            busy = [plan for key, plan in plans.items() if plan.effects or not (plan.settled or self._is_told(key))]
            if not busy:
                return
            self._world.seconds += min(1 if plan.requeue_after is None else plan.requeue_after for plan in busy)
        self._found.see("unsettled", holds=False, details=list(map(self._world.says, self._keys)))

    def _is_told(self, key: Key) -> bool:
        """Is the claim Ready, or does it say what only a person can mend?"""
        claim, said = self._world.find(key), self._world.says(key)
        if claim is not None and claim["metadata"].get("deletionTimestamp"):
            return False
        match said[-1] if said else None:
            case ("True", _, _):
                return True
            case ("False", "MultipleNodesFound", _):
                return len(self._world.nodes(key)) > 1
            case ("False", "NameTaken", _):
                return key == self._foreign
        return False

    def _say(self, what: str) -> None:
        self._found.history.append(f"{self._world.seconds:.0f} {what}")
