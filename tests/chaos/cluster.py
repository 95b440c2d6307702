"""An API server of claims and Nodes, in memory: what the provisioner asks of one and may, and no more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kaito.api.conditions import rfc3339
from kaito.api.resources import NAMESPACE, Kind, Object
from kaito.runtime.kube import Conflict, KubeError, ObjectList
from kaito.runtime.plan import Announce, Apply, Delete, Effect, Mark, Tell
from tests.chaos.rbac import may


class Cluster:
    """Objects are never changed in place, so whoever has read one has it as it was."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[tuple[Kind, str], Object] = {}
        self._ids = itertools.count(1)
        self.announced: list[Object] = []

    @property
    def cluster(self) -> str:
        _allow("get", NAMESPACE)
        return "this-cluster"

    def get(self, kind: Kind, name: str) -> Object | None:
        _allow("get", kind)
        return self.find(kind, name)

    def list(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> ObjectList:
        return ObjectList(tuple(it for it in self.list_installed(kind) if _has(it, labels or {})), "0")

    def list_installed(self, kind: Kind) -> tuple[Object, ...]:
        _allow("list", kind)
        return self.all(kind)

    def find(self, kind: Kind, name: str) -> Object | None:
        """As an administrator sees it."""
        return self._objects.get((kind, name))

    def all(self, kind: Kind) -> tuple[Object, ...]:
        """As an administrator sees them."""
        return tuple(obj for (found, _), obj in self._objects.items() if found == kind)

    def create(self, obj: Object) -> None:
        """In the place of one of that name."""
        numbered = {"uid": f"u-{next(self._ids)}", "generation": 1, "finalizers": []}
        self._put(obj, **numbered, creationTimestamp=rfc3339(self._now()))

    def change(self, obj: Object, **meta: Any) -> None:
        """These fields of its metadata; it goes with its last finalizer."""
        self._put(obj, **meta)
        changed = self._objects[_key(obj)]["metadata"]
        if changed.get("deletionTimestamp") and not changed["finalizers"]:
            del self._objects[_key(obj)]

    def delete(self, kind: Kind, name: str) -> None:
        if (obj := self.find(kind, name)) is not None:
            self.change(obj, deletionTimestamp=rfc3339(self._now()))

    def lose(self, kind: Kind, name: str) -> None:
        """It goes without a word, finalizers or not."""
        self._objects.pop((kind, name), None)

    def run(self, effect: Effect) -> None:
        """As kaito.runtime.apply does it."""
        match effect:
            case Tell():
                _allow("create", EVENT)
            case Announce():
                self.announced.append(effect.event)
            case Mark():
                _allow("patch", Kind.of(effect.object))
                found = self._objects.get(_key(effect.object))
                if found is None:
                    if set(effect.finalizers) <= set(effect.object["metadata"]["finalizers"]):
                        return
                    raise Conflict(409, "Conflict", "it is gone")
                if found["metadata"]["resourceVersion"] != effect.object["metadata"]["resourceVersion"]:
                    raise Conflict(409, "Conflict", "it has changed")
                annotations = {**(found["metadata"].get("annotations") or {}), **effect.annotations}
                self.change(found, finalizers=list(effect.finalizers), annotations=annotations)
            case Delete():
                _allow("delete", effect.kind)
                found = self.find(effect.kind, effect.name)
                if found is not None and found["metadata"]["uid"] != effect.uid:
                    raise Conflict(409, "Conflict", "it is another")
                self.delete(effect.kind, effect.name)
            case Apply(subresource="status"):
                _allow("patch", Kind.of(effect.object), "status")
                self._put({**self._same(effect), "status": effect.object["status"]})
            case Apply():
                _allow("patch", Kind.of(effect.object))
                found = self._same(effect)["metadata"]
                applied = effect.object["metadata"]
                merged = {name: {**(found.get(name) or {}), **(applied.get(name) or {})} for name in _MAPS}
                self._put(self._same(effect), **merged)
            case _:
                raise TypeError(f"{effect} is not for the API server")

    def _same(self, effect: Apply) -> Object:
        """The object, where the write is about that very one."""
        found = self._objects.get(_key(effect.object))
        if found is None or found["metadata"]["uid"] != effect.object["metadata"]["uid"]:
            raise Conflict(409, "Conflict", "it is gone")
        return found

    def _put(self, obj: Object, **meta: Any) -> None:
        version = {"resourceVersion": f"r{next(self._ids)}"}
        self._objects[_key(obj)] = {**obj, "metadata": {**obj["metadata"], **meta, **version}}


def _allow(verb: str, kind: Kind, subresource: str = "") -> None:
    if not may(verb, kind, subresource):
        raise KubeError(403, "Forbidden", f"the provisioner may not {verb} {kind.plural} {subresource}")


EVENT = Kind("v1", "Event")
_MAPS = ("labels", "annotations")


def _key(obj: Object) -> tuple[Kind, str]:
    return Kind.of(obj), obj["metadata"]["name"]


def _has(obj: Object, labels: Mapping[str, str]) -> bool:
    found: Object = obj["metadata"].get("labels") or {}
    return labels.items() <= found.items()
