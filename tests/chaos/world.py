"""Claims, the emulated Azure and the function between them, in virtual time.

What is read, what is decided, the SDK and its client are the real ones; only the API server is a dict.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import presets
from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import LABEL_POOL, TAG_CREATED, TAG_UID, pool_name
from functions.provisioner.observe import observe
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import reconcile, refused
from functions.provisioner.settings import ManagedCluster, Settings
from kaito.api.claims import GPU, INSTANCE_TYPE, NodeRequest, render_claim
from kaito.api.conditions import rfc3339
from kaito.api.nodes import is_ready
from kaito.api.resources import MACHINE, NODE, Kind, Object
from kaito.embedded.arm.emulator import NO_FAULT, Arm, Fault, Faults, Response
from kaito.embedded.arm.transport import Token, transport
from kaito.runtime.keys import Key
from kaito.runtime.kube import Conflict, Kube
from kaito.runtime.plan import Beyond, Effect, Plan, Refused
from tests.chaos.cluster import Cluster

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
CLUSTER = ManagedCluster("s-1", "rg", "cluster")
CATALOGUE = presets.load()
LABELS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}


def first(*faults: Fault, method: str = "PUT") -> Faults:
    """These faults, for the first requests of that method."""
    left = list(faults)
    return lambda asked, _: left.pop(0) if left and asked == method else NO_FAULT


def error(status: int, code: str, message: str, **headers: str) -> Fault:
    """That request is refused so."""
    return Fault(Response(status, {"error": {"code": code, "message": message}}, headers))


class World:
    """``key`` is its first claim, of the instance types ``types``; methods are about that one where none is named.

    ``kubelet``: do machines register their Nodes? ``plugin``: do these offer their GPUs? ``controller``: do Nodes go
    with their machines?
    """

    def __init__(
        self,
        *types: str,
        kind: Kind = MACHINE,
        name: str = "ws012345678",
        faults: Faults = lambda _method, _name: NO_FAULT,
        cluster: ManagedCluster = CLUSTER,
        exclusive: bool = False,
    ) -> None:
        self.seconds = 0.0
        self.arm = Arm("s-1", "rg", "cluster", lambda: self.seconds, faults=faults, exclusive=exclusive)
        self.pools = Pools.of(cluster, clock=lambda: self.seconds, credential=Token(), transport=transport(self.arm))
        self.cluster = Cluster(lambda: self.now)
        self.settings = Settings(azure=cluster)
        self.kubelet = self.controller = self.plugin = True
        self.reasons: list[str] = []  # of the first claim's first stage, as they came
        self.types = types or ("Standard_NC12s_v3",)
        self.key = Key(kind, "", name)
        self._booted: set[tuple[str, ...]] = set()  # machines that have registered
        self.create()

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def claim(self) -> Object | None:
        return self.find(self.key)

    @property
    def pool(self) -> str:
        """The name of its pool."""
        return pool_name(self.key)

    def find(self, key: Key) -> Object | None:
        return self.cluster.find(key.kind, key.name)

    def create(self, key: Key | None = None, owner: Object | None = None) -> None:
        """A new claim; of an old name, too."""
        key = key or self.key
        claim = render_claim(NodeRequest(key.name, self.types[0], "50Gi", LABELS), key.kind)
        (instance_type, *_) = claim["spec"]["requirements"]
        instance_type["values"] = list(self.types)
        if owner:
            claim["metadata"]["ownerReferences"] = [owner]
        self.cluster.create(claim)

    def delete(self, key: Key | None = None) -> None:
        key = key or self.key
        self.cluster.delete(key.kind, key.name)

    def observe(self, key: Key | None = None) -> Observed:
        self.boot()
        key = key or self.key
        return observe(cast(Kube, self.cluster), [key], pools=self.pools)[key]

    def boot(self) -> None:
        """What kubelets and the cluster's cloud controller do."""
        machines = {node["metadata"]["name"]: node for node in self.arm.nodes()}
        for name, node in machines.items():
            machine = self._machine(node)
            if self.kubelet and machine not in self._booted:
                earlier = self.cluster.find(NODE, name)
                if earlier is None:
                    self.cluster.create({**node, "status": self._status(node, "True")})
                else:  # as a kubelet does that finds itself there
                    self.cluster.change({**earlier, "status": self._status(earlier, "True")})
                self._booted.add(machine)
        for node in self.nodes():
            if node["metadata"]["name"] in machines:
                continue
            if self.controller:
                self.delete(Key(NODE, "", node["metadata"]["name"]))
            elif is_ready(node):  # as the cluster has it of a kubelet that is silent
                self.cluster.change({**node, "status": self._status(node, "Unknown")})

    def nodes(self, of: Key | None = None) -> tuple[Object, ...]:
        """All Nodes, or those of that claim's pool."""
        every = self.cluster.all(NODE)
        return tuple(it for it in every if not of or it["metadata"]["labels"].get(LABEL_POOL) == pool_name(of))

    def report(self, status: str, names: Collection[str] = ()) -> None:
        """Kubelets of these Nodes, or all, report that of Ready: True, False, or Unknown where they are silent."""
        for node in self.nodes():
            if not names or node["metadata"]["name"] in names:
                self.cluster.change({**node, "status": self._status(node, status)})

    def registered(self) -> set[str]:
        """The names of the Nodes that there are machines for, which have registered."""
        return {node["metadata"]["name"] for node in self.arm.nodes() if self._machine(node) in self._booted}

    def _machine(self, node: Object) -> tuple[str, ...]:
        """What tells the machine behind a Node from those that had its name before: whose pool it is of, and when that
        was asked for."""
        tags = self.arm.pools()[node["metadata"]["labels"][LABEL_POOL]].get("tags") or {}
        return node["metadata"]["name"], tags.get(TAG_UID, ""), tags.get(TAG_CREATED, "")

    def register_anew(self) -> None:
        """All kubelets start again."""
        self._booted.clear()

    def _status(self, node: Object, ready: str) -> Object:
        """With the GPUs that the plugin has found by then."""
        sku = CATALOGUE.sku(node["metadata"]["labels"][INSTANCE_TYPE])
        offered = {GPU: str(sku.gpus)} if sku and self.plugin else {}
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": rfc3339(self.now)}
        return {"conditions": [condition], "allocatable": offered, "capacity": offered}

    def turn(self, writes: int | None = None, seen: Observed | None = None, key: Key | None = None) -> Plan:
        """One reconcile, cut short after so many writes; by an old look if one is given."""
        key = key or self.key
        observed = seen or self.observe(key)
        plan = reconcile(observed, CATALOGUE, self.settings, self.now)
        with contextlib.suppress(Conflict):  # then it is looked at again
            for effect in plan.effects[:writes]:
                try:
                    self._run(effect)
                except AzureError as error:
                    plan = refused(observed, Refused(effect, error), CATALOGUE, self.settings, self.now)
                    for instead in plan.effects:
                        self._run(instead)
                    break
        if key == self.key and self.says() and self.reasons[-1:] != [self.says()[0][1]]:
            self.reasons.append(self.says()[0][1])
        return plan

    def settle(self, turns: int = 60) -> None:
        """Turns until nothing is left to do, as long as that takes."""
        for _ in range(turns):
            plan = self.turn()
            if plan.settled and not plan.effects:
                return
            self.seconds += plan.requeue_after if plan.requeue_after is not None else 1
        raise AssertionError(f"not settled after {turns} turns: {self.says()}")

    def until(self, reason: str, turns: int = 60) -> None:
        """Turns until the first stage says that."""
        for _ in range(turns):
            plan = self.turn()
            if self.says()[0][1] == reason:
                return
            self.seconds += plan.requeue_after if plan.requeue_after is not None else 1
        raise AssertionError(f"{reason} is not said after {turns} turns: {self.says()}")

    def says(self, key: Key | None = None) -> list[tuple[str, str, str]]:
        conditions = ((self.find(key or self.key) or {}).get("status") or {}).get("conditions") or []
        return [(it["status"], it["reason"], it["message"]) for it in conditions]

    def wire(self) -> Sequence[str]:
        """What was asked of Azure but reads, and how it was answered."""
        return [f"{request.method} {response.status}" for request, response in self.arm.log if request.method != "GET"]

    def _run(self, effect: Effect) -> None:
        if isinstance(effect, Beyond):
            self.pools.run(effect)
        else:
            self.cluster.run(effect)
