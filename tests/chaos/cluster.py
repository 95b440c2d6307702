"""An API server of claims and Nodes, in memory: what the provisioner asks of one, and no more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kaito.api.conditions import rfc3339
from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Conflict, ObjectList
from kaito.runtime.plan import Apply, Delete, Effect, Mark, Tell


class Cluster:
    """Objects are never changed in place, so whoever has read one has it as it was."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[tuple[Kind, str], Object] = {}
        self._ids = itertools.count(1)

    def get(self, kind: Kind, name: str) -> Object | None:
        return self._objects.get((kind, name))

    def list(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> ObjectList:
        return ObjectList(tuple(it for it in self.list_installed(kind) if _has(it, labels or {})), "0")

    def list_installed(self, kind: Kind) -> tuple[Object, ...]:
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
        if (obj := self.get(kind, name)) is not None:
            self.change(obj, deletionTimestamp=rfc3339(self._now()))

    def lose(self, kind: Kind, name: str) -> None:
        """It goes without a word, finalizers or not."""
        self._objects.pop((kind, name), None)

    def run(self, effect: Effect) -> None:
        """As kaito.runtime.apply does it."""
        match effect:
            case Tell():
                pass
            case Mark():
                found = self._objects.get(_key(effect.object))
                if found is None:
                    if set(effect.finalizers) <= set(effect.object["metadata"]["finalizers"]):
                        return
                    raise Conflict(409, "Conflict", "it is gone")
                if found["metadata"]["resourceVersion"] != effect.object["metadata"]["resourceVersion"]:
                    raise Conflict(409, "Conflict", "it has changed")
                self.change(found, finalizers=list(effect.finalizers))
            case Delete():
                found = self.get(effect.kind, effect.name)
                if found is not None and found["metadata"]["uid"] != effect.uid:
                    raise Conflict(409, "Conflict", "it is another")
                self.delete(effect.kind, effect.name)
            case Apply(subresource="status"):
                self._put({**self._same(effect), "status": effect.object["status"]})
            case Apply():
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


_MAPS = ("labels", "annotations")


def _key(obj: Object) -> tuple[Kind, str]:
    return Kind.of(obj), obj["metadata"]["name"]


def _has(obj: Object, labels: Mapping[str, str]) -> bool:
    found: Object = obj["metadata"].get("labels") or {}
    return labels.items() <= found.items()
