"""What a source knows of one kind, and what a list or a watch event changes in it. Pure.

It answers three questions that a watch alone leaves open: what happened while nobody watched (a list is
compared with what was known), which watch events say nothing new, and when an object enters or leaves a label
selector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kaito.api.resources import Object
from kaito.runtime.kube import WatchEvent


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an object; for a delete, its last known state."""

    verb: Literal["add", "update", "delete"]
    object: Object


class Inventory:
    """The objects of one kind that carry ``labels``, as of the last list or watch event taken in."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self._labels = dict(labels or {})
        self._known: dict[tuple[str, str], Object] = {}

    def replace(self, objects: Iterable[Object]) -> list[Change]:
        """Take in a list: deletes of what is gone, then adds and updates of what is new or has changed."""
        present = {_key(obj): obj for obj in objects if self._selects(obj)}
        changes = [Change("delete", obj) for key, obj in self._known.items() if not _same_object(obj, present.get(key))]
        for key, obj in present.items():
            known = self._known.get(key)
            if known is None or not _same_object(known, obj):
                changes.append(Change("add", obj))
            elif _version(known) != _version(obj):
                changes.append(Change("update", obj))
        self._known = present
        return changes

    def take(self, event: WatchEvent) -> Change | None:
        """Take in a watch event; None where it changes nothing for who asked."""
        if event.type == "BOOKMARK":
            return None
        key, obj = _key(event.object), event.object
        known = self._known.get(key)
        if event.type == "DELETED" or not self._selects(obj):
            self._known.pop(key, None)
            # An object that was never known to be selected leaves no trace; a real delete is always told.
            return Change("delete", obj) if known is not None or self._selects(obj) else None
        self._known[key] = obj
        if known is not None and _version(known) == _version(obj):
            return None
        return Change("update" if event.type == "MODIFIED" and (known or not self._labels) else "add", obj)

    def _selects(self, obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return self._labels.items() <= labels.items()


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _version(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])


def _same_object(known: Object, present: Object | None) -> bool:
    """An object made anew under the same name is another one."""
    return present is not None and known["metadata"].get("uid") == present["metadata"].get("uid")
