"""The cluster in memory with both functions that write a Workspace's status: each field has its managers, as on the API
server, and goes when the last of them no longer applies it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from functions.tuning.observe import observe
from functions.tuning.observed import Observed
from functions.tuning.reconcile import reconcile
from functions.tuning.status import NAME
from functions.workspace import reconcile as workspace_function
from functions.workspace.observed import Observed as Around
from kaito.api.resources import WORKSPACE, Kind, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Apply, Plan
from tests.unit.functions.tuning.scenes import CATALOGUE, SETTINGS
from tests.unit.functions.workspace.cluster import Cluster, Conflict

Path = tuple[str, str]
MANAGERS = (workspace_function.NAME, NAME)


class World(Cluster):
    def __init__(self) -> None:
        super().__init__()
        self._managers: dict[str, dict[Path, set[str]]] = {}

    def look(self, manager: str) -> Observed | Around:
        """What that function reads of the one Workspace."""
        if manager != NAME:
            return self.observe("default", "poems")
        key = Key(WORKSPACE, "default", "poems")
        return copy.deepcopy(observe(cast("Kube", self), [key])[key])

    def plan(self, manager: str, seen: Observed | Around | None = None) -> Plan:
        seen = seen or self.look(manager)
        return reconcile(seen, CATALOGUE, SETTINGS, self.now) if isinstance(seen, Observed) else self.decide(seen)

    def turn(self, manager: str, *, writes: int | None = None, seen: Observed | Around | None = None) -> Plan:
        """One turn of that function, cut short after so many writes; by an old look if one is given."""
        self.now += timedelta(seconds=1)
        plan = self.plan(manager, seen)
        for effect in plan.effects[:writes]:
            try:
                if isinstance(effect, Apply) and effect.subresource == "status":
                    self._say(effect.object, manager)
                else:
                    self.run(effect)
            except Conflict:
                break  # and it is looked at again
        return plan

    def _say(self, obj: Object, manager: str) -> None:
        """Server-side apply of a status, taking fields over from others; conditions are a map by their type."""
        meta = obj["metadata"]
        found = self.get(Kind.of(obj), meta["name"], meta["namespace"])
        if found is None or found["metadata"]["uid"] != meta["uid"]:
            raise Conflict
        managers = self._managers.setdefault(meta["uid"], {})
        before, after = _paths(found.get("status") or {}), _paths(obj["status"])
        for path, its in list(managers.items()):
            if path not in after:
                its.discard(manager)
                if not its:
                    del managers[path]
                    before.pop(path, None)
        for path, value in after.items():
            same = before.get(path) == value
            managers[path] = {*(managers.get(path, ()) if same else ()), manager}
        self.change(found, status=_status({**before, **after}))


def _paths(status: Object) -> dict[Path, object]:
    fields: dict[Path, object] = {("", name): value for name, value in status.items() if name != "conditions"}
    return fields | {("conditions", it["type"]): it for it in status.get("conditions") or ()}


def _status(paths: Mapping[Path, object]) -> Object:
    fields: Object = {name: value for (of, name), value in paths.items() if not of}
    return {**fields, "conditions": [value for (of, _), value in paths.items() if of]}
