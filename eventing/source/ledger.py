"""What is heard of one kind is written down, in the inventory and in the spool, before the watch goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from eventing.inventory import Change, Inventory
from eventing.source.spec import ApiServerSourceSpec, Mode, WatchedResource
from eventing.source.spool import Spool
from eventing.source.store import Store, Stored
from kaito.api.resources import Object
from kaito.runtime.kube import WatchEvent


class Ledger:
    """Of one resource of a source; ``wake`` is called when there may be something to send."""

    def __init__(self, scope: str, mode: Mode, store: Store, spool: Spool, wake: Callable[[], None]) -> None:
        self._scope, self._mode, self._store, self._spool, self._wake = scope, mode, store, spool, wake
        self._known = Stored(store, scope)
        self._inventory = Inventory(self._known)

    def replace(self, objects: Sequence[Object]) -> None:
        kept = [self._kept(obj) for obj in objects]
        self._write(lambda: self._inventory.replace(kept))

    def take(self, event: WatchEvent) -> None:
        if event.type != "BOOKMARK":
            kept = WatchEvent(event.type, self._kept(event.object))
            self._write(lambda: self._inventory.take(kept))

    def resync(self) -> None:
        """An update for each object that is known, with nothing new in it."""
        self._write(lambda: [Change("update", self._known.object(key)) for key in self._known.identities()])

    def _write(self, changes: Callable[[], list[Change]]) -> None:
        with self._store.transaction():
            for change in changes():
                self._spool.put(self._scope, change)
        self._wake()

    def _kept(self, obj: Object) -> Object:
        """What of an object its events need: in the mode Reference its name, so that no Secret comes to the disk."""
        if self._mode == "Resource":
            return obj
        names = ("namespace", "name", "uid", "resourceVersion")
        metadata = {name: obj["metadata"][name] for name in names if name in obj["metadata"]}
        return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def scope_of(spec: ApiServerSourceSpec, namespace: str, resource: WatchedResource) -> str:
    """What a resource asks for, as text: where another is asked for, nothing is known yet."""
    return json.dumps([spec.mode, spec.scope(namespace), resource.model_dump(by_alias=True)], sort_keys=True)
