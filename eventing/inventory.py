"""What a source knows of one kind, and what a list or a watch event changes in it. Decisions only.

It answers two questions that a watch alone leaves open: what happened while nobody watched (a list is compared with
what was known), and which watch events say nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from kaito.api.resources import Object
from kaito.runtime.kube import WatchEvent

Verb = Literal["add", "update", "delete"]
#: Namespace, empty for what is cluster-scoped, and name.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an object; for a delete, its last known state."""

    verb: Verb
    object: Object


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object it is, for one made anew under the same name is another, and in which state."""

    uid: str
    version: str


class Known(Protocol):
    """Where the last known state of each object is kept."""

    def identities(self) -> Mapping[Key, Identity]: ...
    def identity(self, key: Key) -> Identity | None: ...
    def object(self, key: Key) -> Object: ...
    def put(self, obj: Object) -> None: ...
    def drop(self, key: Key) -> None: ...


class Remembered:
    """In this process' memory."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}

    def identities(self) -> Mapping[Key, Identity]:
        return {key: identity(obj) for key, obj in self._objects.items()}

    def identity(self, key: Key) -> Identity | None:
        return identity(self._objects[key]) if key in self._objects else None

    def object(self, key: Key) -> Object:
        return self._objects[key]

    def put(self, obj: Object) -> None:
        self._objects[key_of(obj)] = obj

    def drop(self, key: Key) -> None:
        del self._objects[key]


class Inventory:
    """The objects of one kind, as of the last list or watch event taken in."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def replace(self, objects: Iterable[Object]) -> list[Change]:
        """Take in a list: deletes of what is gone, then adds and updates of what is new or has changed."""
        present = {key_of(obj): obj for obj in objects}
        before = self._known.identities()
        changes = [
            self._deleted(key)
            for key, known in before.items()
            if key not in present or identity(present[key]).uid != known.uid
        ]
        for key, obj in present.items():
            changes += self._present(obj, before.get(key))
        return changes

    def take(self, event: WatchEvent) -> list[Change]:
        """Take in a watch event; no changes where it says nothing new."""
        if event.type == "BOOKMARK":
            return []
        obj, key = event.object, key_of(event.object)
        known = self._known.identity(key)
        if event.type == "DELETED":
            if known is not None:
                self._known.drop(key)
            return [Change("delete", obj)]
        changes = [self._deleted(key)] if known is not None and known.uid != identity(obj).uid else []
        return [*changes, *self._present(obj, known, "add" if event.type == "ADDED" else "update")]

    def _deleted(self, key: Key) -> Change:
        change = Change("delete", self._known.object(key))
        self._known.drop(key)
        return change

    def _present(self, obj: Object, known: Identity | None, unheard_of: Verb = "add") -> list[Change]:
        """The change that this state is, beside what is known; ``unheard_of`` where that is nothing."""
        now = identity(obj)
        if known == now:
            return []
        self._known.put(obj)
        if known is None:
            return [Change(unheard_of, obj)]
        return [Change("update" if known.uid == now.uid else "add", obj)]


def key_of(obj: Object) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def identity(obj: Object) -> Identity:
    return Identity(obj["metadata"]["uid"], obj["metadata"]["resourceVersion"])
