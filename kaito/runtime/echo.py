"""Events that tell a function only what it knows: the echo of its own writes, and what changes nothing.

After each reconcile the content of the object is noted, as it was observed and as each write must have left it. An
event whose object has just that content is no reason to look. It is a hint and no more: whatever differs in a single
field, somebody else's part in our own write too, is looked at.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator

from kaito.api.resources import Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Apply, Effect, Mark, Plan

#: Of metadata, what differs between two states of the same content.
_BOOKKEEPING = ("managedFields", "resourceVersion", "generation")


class Echoes:
    """What is known of each object. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Key, frozenset[str]] = {}

    def note(self, key: Key, observed: Object | None, plan: Plan) -> None:
        """A reconcile of ``observed`` has ended, and all of ``plan`` was written."""
        with self._lock:
            if observed is None:
                self._known.pop(key, None)
            else:
                self._known[key] = frozenset(content(state) for state in _states(observed, plan))

    def forget(self, key: Key) -> None:
        """A reconcile has failed: whatever is heard is a reason to look."""
        with self._lock:
            self._known.pop(key, None)

    def tell_nothing(self, key: Key, heard: Iterable[str | None]) -> bool:
        """Is all that was heard of ``key``, as ``content`` of it, known? None is what cannot be."""
        with self._lock:
            known = self._known.get(key, frozenset())
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
    return {**obj, "status": effect.object["status"]}


def content(obj: Object) -> str:
    """A short name for what an object says, without the API server's bookkeeping."""
    meta = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _BOOKKEEPING}
    if not meta.get("finalizers"):
        meta.pop("finalizers", None)
    return hashlib.sha256(json.dumps({**obj, "metadata": meta}, sort_keys=True).encode()).hexdigest()
