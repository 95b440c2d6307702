"""One seeded run: claims, faults of Azure, kills at any write, late and old looks; then calm, and what must hold."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from functions.provisioner.aks.effects import AbortPool, DeletePool
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.health import LABEL_INITIALIZED
from functions.provisioner.aks.pool import LABEL_POOL, TAG_CLAIM, TAG_CLUSTER, TAG_KIND, TAG_UID, Pool, pool_name
from functions.provisioner.observed import Observed
from kaito.api.announcements import NodeRemoved
from kaito.api.claims import CLAIM_KINDS, Claim
from kaito.api.nodes import is_ready
from kaito.api.resources import NODE
from kaito.embedded.arm.emulator import NO_FAULT, Fault
from kaito.embedded.arm.faults import OUTCOMES, seeded
from kaito.runtime.keys import Key
from kaito.runtime.plan import Delete, Plan
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
    "plugin": 1,
    "sick": 2,
    "lost": 1,
    "taken": 1,
    "upgraded": 1,
    "unlabelled": 1,
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
        if self._dice.random() < 0.2:  # a claim of the same name and the other kind, which only one of them can have
            self._keys.append(_namesake(self._world.key))
        for key in self._keys[1:]:
            self._world.create(key)
        self._foreign = self._someone_elses()
        self._old: list[tuple[Key, Observed]] = []

    def run(self) -> Found:
        world, found = self._world, self._found
        theirs = self._foreign and world.arm.pools()[self._foreign]
        for _ in range(self._dice.randint(5, STEPS) * len(self._keys)):
            self._step()
            self._doubled()
        self._calm = world.kubelet = world.controller = world.plugin = True
        world.register_anew()
        world.report("True")
        found.history.append(f"{world.seconds:.0f} calm")
        world.arm.end_deletions()
        self._until_done()
        for key in self._keys:
            if world.find(key) is not None:
                found.see("unsettled", holds=self._is_told(key), details=(key, world.says(key)))
            world.delete(key)
        self._until_done()
        found.see("unsettled", holds=not any(map(world.find, self._keys)), details=list(map(world.says, self._keys)))
        pools = dict(world.arm.pools())
        if self._foreign:
            found.see("foreign", holds=pools.pop(self._foreign, None) == theirs, details=self._foreign)
        left = [name for name, pool in pools.items() if pool.get("tags")]
        own = (node for node in world.nodes() if node["metadata"]["labels"][LABEL_POOL] != self._foreign)
        nodes = [node["metadata"]["name"] for node in own]
        found.see("leaked", holds=not left and not nodes, details=(left, nodes))
        return found

    def _someone_elses(self) -> str | None:
        """The name of a pool that is not ours: it has a claim's name, or says that it is of another cluster's KAITO."""
        what = self._dice.random()
        if what > 0.2:
            return None
        name = self._world.pool if what < 0.15 else "ws998877665"
        tags = {TAG_CLUSTER: "another-cluster", TAG_CLAIM: name, TAG_KIND: self._world.key.kind.kind, TAG_UID: "u-1"}
        self._world.arm.put_foreign(name, **({"tags": tags} if what > 0.1 else {}))
        return name

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
                plan = world.turn(key=_namesake(key))
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
            case "plugin":
                world.plugin = not world.plugin
                self._say(f"nodes {'offer their GPUs' if world.plugin else 'have no plugin'}")
            case "lost":
                names = [node["metadata"]["name"] for node in world.nodes(key)]
                for name in names:
                    world.cluster.lose(NODE, name)
                self._say(f"{names} are deleted by hand")
            case "upgraded" if pool_name(key) != self._foreign:
                world.arm.upgrade(pool_name(key), dice.choice((None, *OUTCOMES)))
                self._say(f"{key.name}: its pool is upgraded")
            case "unlabelled" if (claim := world.find(key)) and claim["metadata"]["finalizers"]:
                world.cluster.change(claim, labels={})
                self._say(f"{key.name} has lost its labels")
            case "taken" if pool_name(key) != self._foreign:
                world.arm.take_away(pool_name(key))
                self._say(f"{key.name}: its pool is deleted by hand")
        world.seconds += dice.choice((0, 1, 5, 10, 60, 130, 700, 2000))

    def _turn(self, key: Key) -> Plan:
        """A reconcile of what is, after which what is said must be so, and nothing be left of what is gone."""
        world, found = self._world, self._found
        before, seen = world.find(key), world.observe(key)
        machines = world.registered()
        plan = world.turn(seen=seen, key=key)
        self._say(f"{key.name} turn: {[str(effect) for effect in plan.effects]}")
        if isinstance(seen.pool, AzureError):
            return plan
        felling = any(isinstance(effect, DeletePool | AbortPool) for effect in plan.effects)
        found.see("felled", holds=not felling or not _works(seen), details=(plan.effects, seen.nodes))
        removed = {effect.name for effect in plan.effects if isinstance(effect, Delete) and effect.kind == NODE}
        found.see("felled", holds=removed.isdisjoint(machines), details=removed)
        pools, after = world.arm.pools(), world.find(key)
        if before and after is None:
            uid = before["metadata"]["uid"]
            ours = ((name, pool) for name, pool in pools.items() if name != self._foreign)
            left = [name for name, pool in ours if (pool.get("tags") or {}).get(TAG_UID) == uid]
            found.see("leaked", holds=not left, details=left)
            said = (event for event in world.cluster.announced if event["data"]["uid"] == uid)
            found.see("unsaid", holds=any(event["type"] == NodeRemoved.TYPE for event in said), details=uid)
        if after is None or after["metadata"].get("deletionTimestamp"):
            return plan
        pool = pools.get(pool_name(key)) or {}
        of_it = (pool.get("tags") or {}).get(TAG_UID) == after["metadata"]["uid"]
        joined = of_it and any(node["metadata"]["name"] in machines for node in world.nodes(key))
        launched = of_it and (pool["provisioningState"] == "Succeeded" or joined)
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
        for _ in range(800):
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
                theirs = (self._world.arm.pools().get(pool_name(key)) or {}).get("tags") or {}
                return pool_name(key) == self._foreign or theirs.get(TAG_KIND) == _namesake(key).kind.kind
        return False

    def _say(self, what: str) -> None:
        self._found.history.append(f"{self._world.seconds:.0f} {what}")


def _namesake(key: Key) -> Key:
    """The claim of that name and the other kind."""
    (other,) = (kind for kind in CLAIM_KINDS if kind != key.kind)
    return Key(other, "", key.name)


def _works(seen: Observed) -> bool:
    """Is there a claim that is to stay, with a node that can be used?"""
    if seen.claim is None or not isinstance(seen.pool, Pool):
        return False
    claim = Claim.of(seen.claim)
    usable = [node for node in seen.nodes if is_ready(node) and LABEL_INITIALIZED in node["metadata"]["labels"]]
    return not claim.deleting and seen.pool.is_of(claim) and bool(usable)
