"""Events that tell a function only what it knows: the echo of its own writes, and what changes nothing.

After each reconcile the content of all objects that were read for it is noted, and of its own object also as each write
must have left it. An event whose object has just that content is no reason to look. It is a hint and no more: whatever
differs in a single field, somebody else's part in our own write too, is looked at.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaito.api.resources import Kind, Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Apply, Effect, Mark, Plan

#: Of metadata, what differs between two states of the same content.
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation")
#: Of a condition, what says only that somebody is still there: kubelet's, every five minutes.
_HEARTBEAT = "lastHeartbeatTime"


@dataclass(frozen=True, slots=True)
class _Known:
    """``contents`` of all states of all objects; ``names`` (kind, namespace, name) of what is not the key's own."""

    contents: frozenset[str]
    names: frozenset[tuple[Kind, str, str]]


_NOTHING = _Known(frozenset(), frozenset())


class Echoes:
    """What is known of each object. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Key, _Known] = {}

    def note(self, key: Key, own: Object | None, others: Iterable[Object], plan: Plan) -> None:
        """A reconcile of what was read has ended, and all of ``plan`` was written."""
        read = tuple(others)
        states = (*(_states(own, plan) if own is not None else ()), *read)
        known = _Known(frozenset(map(content, states)), frozenset(map(_name, read)))
        with self._lock:
            if states:
                self._known[key] = known
            else:
                self._known.pop(key, None)

    def readers(self, kind: Kind, namespace: str, name: str) -> tuple[Key, ...]:
        """The keys whose last reconcile has read that object."""
        with self._lock:
            return tuple(key for key, known in self._known.items() if (kind, namespace, name) in known.names)

    def forget(self, key: Key) -> None:
        """A reconcile has failed: whatever is heard is a reason to look."""
        with self._lock:
            self._known.pop(key, None)

    def tell_nothing(self, key: Key, heard: Iterable[str | None]) -> bool:
        """Is all that was heard of ``key``, as ``content`` of it, known? None is what cannot be."""
        with self._lock:
            known = self._known.get(key, _NOTHING).contents
        return all(content in known for content in heard)


def _states(obj: Object, plan: Plan) -> Iterator[Object]:
    yield obj
    for effect in plan.effects:
        if _is_about(effect, obj):
            obj = _after(effect, obj)
            yield obj


def _is_about(effect: Effect, obj: Object) -> bool:
    if isinstance(effect, Mark) or (isinstance(effect, Apply) and effect.subresource == "status"):
        return bool(effect.object["metadata"].get("uid") == obj["metadata"]["uid"])
    return False


def _after(effect: Effect, obj: Object) -> Object:
    if isinstance(effect, Mark):
        meta = {**obj["metadata"], "finalizers": list(effect.finalizers)}
        if effect.annotations:
            meta["annotations"] = {**(meta.get("annotations") or {}), **effect.annotations}
        return {**obj, "metadata": meta}
    assert isinstance(effect, Apply)
    before, after = obj.get("status") or {}, effect.object["status"]
    others = {name: value for name, value in before.items() if name in effect.beside}
    conditions = [it for it in before.get("conditions") or () if it["type"] in effect.beside]
    return {**obj, "status": {**others, **after, "conditions": [*conditions, *after.get("conditions", ())]}}


def content(obj: Object) -> str:
    """A short name for what an object says, without the API server's bookkeeping and without heartbeats; conditions are
    a map."""
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _BOOKKEEPING}
    if not meta.get("finalizers"):
        meta.pop("finalizers", None)
    said: Object = {**obj, "metadata": meta}
    conditions = (obj.get("status") or {}).get("conditions")
    if conditions:
        lasting = [{name: value for name, value in it.items() if name != _HEARTBEAT} for it in conditions]
        said["status"] = {**obj["status"], "conditions": sorted(lasting, key=lambda it: str(it["type"]))}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _name(obj: Object) -> tuple[Kind, str, str]:
    return Kind.of(obj), obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
