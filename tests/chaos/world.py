"""A claim, the emulated Azure and the function between them, in virtual time.

The decisions, the SDK and the client are the real ones; only the API server is a dict of one claim.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import presets
from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import pool_name
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import reconcile, refused
from functions.provisioner.settings import ManagedCluster, Settings
from kaito.api.claims import GPU, LABEL_CLAIM, NodeRequest, render_claim
from kaito.api.conditions import rfc3339
from kaito.api.resources import MACHINE, Kind, Object
from kaito.embedded.arm.emulator import NO_FAULT, Arm, Faults
from kaito.embedded.arm.transport import Token, transport
from kaito.runtime.keys import Key
from kaito.runtime.kube import Conflict
from kaito.runtime.plan import Apply, Beyond, Effect, Mark, Plan, Refused, Tell

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
CLUSTER = ManagedCluster("s-1", "rg", "cluster")
CATALOGUE = presets.load()
LABELS = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}


class World:
    def __init__(
        self,
        *types: str,
        kind: Kind = MACHINE,
        name: str = "ws012345678",
        faults: Faults = lambda _method, _name: NO_FAULT,
        cluster: ManagedCluster = CLUSTER,
        kubelet: bool = True,
    ) -> None:
        self.seconds = 0.0
        self.arm = Arm("s-1", "rg", "cluster", lambda: self.seconds, faults=faults)
        self.pools = Pools.of(cluster, credential=Token(), transport=transport(self.arm))
        self.settings = Settings(azure=cluster)
        self.kubelet = kubelet
        self.foreign = False  # is the pool of its name somebody else's?
        self.labels: dict[str, dict[str, str]] = {}  # that nodes have been given, by uid
        self.reasons: list[str] = []  # of the first stage, as they came
        self.key = Key(kind, "", name)
        self.types = types or ("Standard_NC12s_v3",)
        self._ids = itertools.count(1)
        self.claim: Object | None = None
        self.create()

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def pool(self) -> str:
        """The name of its pool."""
        return pool_name(self.key)

    def observe(self) -> Observed:
        try:
            pool = self.pools.get(self.pool)
        except AzureError as error:
            return Observed(copy.deepcopy(self.claim), self.nodes(), pool=error)
        return Observed(copy.deepcopy(self.claim), self.nodes(), pool=pool)

    def nodes(self) -> tuple[Object, ...]:
        """Ready, with the GPUs that the plugin has found by then."""
        found = self.arm.nodes() if self.kubelet else []
        return tuple(
            self._ready(node) for node in found if node["metadata"]["labels"].get(LABEL_CLAIM) == self.key.name
        )

    def _ready(self, node: Object) -> Object:
        labels = node["metadata"]["labels"]
        sku = CATALOGUE.sku(labels["node.kubernetes.io/instance-type"])
        offered = {GPU: str(sku.gpus)} if sku else {}
        status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": offered, "capacity": offered}
        uid = f"node-{self.arm.pools()[self.pool]['eTag']}"  # another machine, another Node
        meta = {**node["metadata"], "labels": labels | self.labels.get(uid, {}), "uid": uid}
        return {**node, "metadata": meta, "status": status}

    def turn(self, writes: int | None = None, seen: Observed | None = None) -> Plan:
        """One reconcile, cut short after so many writes; by an old look if one is given."""
        observed = seen or self.observe()
        plan = reconcile(observed, CATALOGUE, self.settings, self.now)
        with contextlib.suppress(Conflict):  # then it is looked at again
            for effect in plan.effects[:writes]:
                try:
                    self._run(effect)
                except AzureError as error:
                    plan = refused(observed, Refused(effect, error), CATALOGUE, self.now)
                    for instead in plan.effects:
                        self._run(instead)
                    break
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

    def create(self) -> None:
        """A new claim, of the old name."""
        self.claim = render_claim(NodeRequest(self.key.name, self.types[0], "50Gi", LABELS), self.key.kind)
        (instance_type, *_) = self.claim["spec"]["requirements"]
        instance_type["values"] = list(self.types)
        self.claim["metadata"] |= {"uid": f"u-{next(self._ids)}", "generation": 1, "finalizers": []}
        self.change(creationTimestamp=rfc3339(self.now))

    def change(self, **meta: Any) -> None:
        assert self.claim is not None
        self.claim["metadata"] |= {**meta, "resourceVersion": f"r{next(self._ids)}"}

    def delete(self) -> None:
        """As the API server: at once, or when the last finalizer is gone."""
        self.change(deletionTimestamp=rfc3339(self.now))
        self._end()

    def says(self) -> list[tuple[str, str, str]]:
        conditions = ((self.claim or {}).get("status") or {}).get("conditions") or []
        return [(it["status"], it["reason"], it["message"]) for it in conditions]

    def wire(self) -> Sequence[str]:
        """What was asked of Azure but reads, and how it was answered."""
        return [f"{request.method} {response.status}" for request, response in self.arm.log if request.method != "GET"]

    def _run(self, effect: Effect) -> None:
        match effect:
            case Beyond():
                self.pools.run(effect)
            case Tell():
                pass
            case Mark():
                if self.claim is None:
                    if set(effect.finalizers) <= set(effect.object["metadata"]["finalizers"]):
                        return
                    raise Conflict(409, "Conflict", "it is gone")
                if self.claim["metadata"]["resourceVersion"] != effect.object["metadata"]["resourceVersion"]:
                    raise Conflict(409, "Conflict", "it has changed")
                self.change(finalizers=list(effect.finalizers))
                self._end()
            case Apply(subresource="status"):
                self._same(effect)["status"] = effect.object["status"]
                self.change()
                (launched, *_) = self.says()
                if self.reasons[-1:] != [launched[1]]:
                    self.reasons.append(launched[1])
            case Apply() if effect.object["kind"] == "Node":
                self.labels[effect.object["metadata"]["uid"]] = effect.object["metadata"]["labels"]
            case Apply():
                found = self._same(effect)["metadata"].get("annotations") or {}
                self.change(annotations=found | effect.object["metadata"]["annotations"])

    def _same(self, effect: Apply) -> Object:
        """The claim, where the write is about that very one."""
        if self.claim is None or self.claim["metadata"]["uid"] != effect.object["metadata"]["uid"]:
            raise Conflict(409, "Conflict", "it is gone")
        return self.claim

    def _end(self) -> None:
        if self.claim and self.claim["metadata"].get("deletionTimestamp") and not self.claim["metadata"]["finalizers"]:
            self.claim = None
