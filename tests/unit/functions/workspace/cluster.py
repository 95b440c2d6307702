"""A cluster in memory, as far as the workspace function's effects reach: apply, finalizers, delete, owners.

It stands in for the API server, the provisioner, kubelets and Knative in tests of long histories; that effects do the
same on the real API server is what tests/integration/functions says.
"""

from __future__ import annotations

import copy
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from functions.workspace.observe import observe
from functions.workspace.observed import Observed
from functions.workspace.reconcile import reconcile
from functions.workspace.settings import Settings
from functions.workspace.startup import FIELD, Measure
from kaito.api.resources import MACHINE, WORKSPACE, Kind, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube, Labels, ObjectList
from kaito.runtime.plan import Announce, Apply, Delete, Effect, Mark, Plan
from tests.unit.functions.workspace.scenes import CATALOGUE

Name = tuple[Kind, str, str]


class Conflict(Exception):
    """The object is another one, or has changed."""


class Cluster:
    def __init__(self) -> None:
        self.objects: dict[Name, Object] = {}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._ids = itertools.count(1)
        self.announced: list[Object] = []

    def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        return self.objects.get((kind, namespace, name))

    def every(self, kind: Kind, labels: Labels | None = None) -> list[Object]:
        wanted = {name: {value} if isinstance(value, str) else set(value) for name, value in (labels or {}).items()}
        return [
            obj
            for (of, _, _), obj in self.objects.items()
            if of == kind and all(obj["metadata"]["labels"].get(name) in values for name, values in wanted.items())
        ]

    def create(self, obj: Object) -> Object:
        meta = obj["metadata"]
        made = {
            **copy.deepcopy(obj),
            "metadata": {"labels": {}, "finalizers": [], **copy.deepcopy(meta), "uid": f"uid-{next(self._ids)}"},
        }
        made["metadata"] |= {"generation": 1, "resourceVersion": str(next(self._ids))}
        self.objects[Kind.of(obj), meta.get("namespace", ""), meta["name"]] = made
        return made

    def change(self, obj: Object, **fields: Any) -> None:
        """Replace fields of an object that is there; its generation moves with what is asked for."""
        if any(fields[name] != obj.get(name) for name in fields if name not in ("metadata", "status")):
            obj["metadata"]["generation"] += 1
        obj |= copy.deepcopy(fields)
        obj["metadata"]["resourceVersion"] = str(next(self._ids))

    def delete(self, obj: Object) -> None:
        """As the API server: at once, or when the last finalizer is gone."""
        meta = obj["metadata"]
        if meta["finalizers"]:
            meta.setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            return
        self._remove(obj)

    def finalize(self, obj: Object, finalizers: list[str]) -> None:
        obj["metadata"]["finalizers"] = finalizers
        obj["metadata"]["resourceVersion"] = str(next(self._ids))
        if obj["metadata"].get("deletionTimestamp") and not finalizers:
            self._remove(obj)

    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
        return ObjectList(self.list_installed(kind, labels, namespace), "0")

    def list_installed(
        self, kind: Kind, labels: Labels | None = None, namespace: str | None = None
    ) -> tuple[Object, ...]:
        return tuple(it for it in self.every(kind, labels) if namespace in (None, it["metadata"].get("namespace", "")))

    def observe(self, namespace: str, name: str) -> Observed:
        """The function's own reads, of this cluster."""
        key = Key(WORKSPACE, namespace, name)
        return copy.deepcopy(observe(cast("Kube", self), CATALOGUE, [key])[key])

    def decide(self, observed: Observed) -> Plan:
        return reconcile(observed, CATALOGUE, Settings(), self.now)

    def reconcile(self, namespace: str, name: str, *, writes: int | None = None, seen: Observed | None = None) -> Plan:
        """One turn of the function, cut short after so many writes; by an old observation if one is given."""
        self.now += timedelta(seconds=1)
        plan = self.decide(seen or self.observe(namespace, name))
        for effect in plan.effects[:writes]:
            try:
                self.run(effect)
            except Conflict:
                break  # and it is looked at again
        return plan

    def run(self, effect: Effect) -> None:
        if isinstance(effect, Delete):
            found = self.get(effect.kind, effect.name, effect.namespace)
            if found is not None and found["metadata"]["uid"] == effect.uid:
                self.delete(found)
        elif isinstance(effect, Mark):
            meta = effect.object["metadata"]
            found = self.get(Kind.of(effect.object), meta["name"], meta.get("namespace", ""))
            if found is None:
                if set(effect.finalizers) <= set(meta["finalizers"]):
                    return
                raise Conflict
            if found["metadata"]["resourceVersion"] != meta["resourceVersion"]:
                raise Conflict
            found["metadata"]["annotations"] = {**found["metadata"].get("annotations", {}), **effect.annotations}
            self.finalize(found, list(effect.finalizers))
        elif isinstance(effect, Measure):
            meta = effect.workspace["metadata"]
            found = self.get(WORKSPACE, meta["name"], meta["namespace"])
            if found is not None and found["metadata"]["uid"] == meta["uid"]:
                self.change(found, status={**found.get("status", {}), FIELD: {"revision": effect.revision}})
        elif isinstance(effect, Announce):
            self.announced.append(effect.event)
        elif isinstance(effect, Apply):
            self._apply(effect)

    def _apply(self, effect: Apply) -> None:
        obj, meta = effect.object, effect.object["metadata"]
        found = self.get(Kind.of(obj), meta["name"], meta.get("namespace", ""))
        if "uid" in meta and (found is None or found["metadata"]["uid"] != meta["uid"]):
            raise Conflict
        if effect.subresource == "status":
            assert found is not None
            others = {name: it for name, it in found.get("status", {}).items() if name == FIELD}
            self.change(found, status={**others, **obj["status"]})
        elif found is None:
            made = self.create(obj)
            if Kind.of(obj) == MACHINE:
                made["metadata"]["finalizers"] = ["karpenter.sh/termination"]
        else:
            for field in ("labels", "annotations"):
                found["metadata"][field] = {**found["metadata"].get(field, {}), **meta.get(field, {})}
            self.change(found, **{field: obj[field] for field in ("spec", "data", "revision") if field in obj})

    def collect_garbage(self) -> None:
        """As the garbage collector, some time after: what has an owner that is no more goes too."""
        there = {obj["metadata"]["uid"] for obj in self.objects.values()}
        for obj in list(self.objects.values()):
            if any(owner["uid"] not in there for owner in obj["metadata"].get("ownerReferences") or ()):
                self.delete(obj)

    def _remove(self, obj: Object) -> None:
        meta = obj["metadata"]
        del self.objects[Kind.of(obj), meta.get("namespace", ""), meta["name"]]
