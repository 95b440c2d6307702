"""What people asked of the cluster, as a recording shows it: each Workspace's making, its changes and its end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from eventing.recordings.lines import event_of
from eventing.recordings.recording import Recording
from kaito.api.resources import CONFIG_MAP, WORKSPACE, Kind, Object
from kaito.runtime.keys import own_key

_ASKED: Final = ("resource", "inference", "tuning")
#: Annotations that the functions put on Workspaces.
_OURS: Final = ("workspace.kaito.io/", "kubectl.kubernetes.io/")


@dataclass(frozen=True, slots=True)
class Step:
    """Apply this Workspace, or delete it: ``deleted``."""

    when: datetime
    workspace: Object
    deleted: bool = False

    @property
    def name(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.workspace["metadata"]["namespace"], self.workspace["metadata"]["name"]

    def __str__(self) -> str:
        return f"{'delete' if self.deleted else 'apply'} workspace {'/'.join(self.name)}"


def steps(recording: Recording) -> tuple[Step, ...]:
    """In the order in which the functions heard of them."""
    return tuple(_steps(recording))


def _steps(recording: Recording) -> Iterator[Step]:
    asked: dict[str, Object] = {}
    gone: set[str] = set()
    for when, obj, deleted in sorted(_seen(recording), key=lambda it: (it[0], it[2])):
        uid = obj["metadata"].get("uid", "")
        if uid in gone:
            continue
        wanted = _wanted(obj)
        if deleted or obj["metadata"].get("deletionTimestamp"):
            gone.add(uid)
            if uid in asked:
                yield Step(when, wanted, deleted=True)
        elif asked.get(uid) != wanted:
            asked[uid] = wanted
            yield Step(when, wanted)


def _seen(recording: Recording) -> Iterator[tuple[datetime, Object, bool]]:
    """Each state of a Workspace that somebody told of, and whether it was its last."""
    for delivery in recording.deliveries.values():
        event = event_of(delivery)
        if event is None or own_key(event.attributes, (WORKSPACE,)) is None:
            continue
        obj = event.data
        if isinstance(obj, dict) and "metadata" in obj and "resource" in obj:
            yield delivery.when, obj, event.type.endswith(".delete")


def _wanted(obj: Object) -> Object:
    """What somebody applied: without what the API server and the functions added."""
    meta = obj["metadata"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith(_OURS)}
    kept: Object = {"name": meta["name"], "namespace": meta["namespace"]}
    for name, value in (("labels", meta.get("labels")), ("annotations", annotations)):
        if value:
            kept[name] = value
    asked: Object = {name: obj[name] for name in _ASKED if name in obj}
    return {"apiVersion": WORKSPACE.api_version, "kind": WORKSPACE.kind, "metadata": kept, **asked}


def config_maps(recording: Recording) -> tuple[Object, ...]:
    """Those that Workspaces name, as they were last."""
    found: dict[tuple[Any, ...], Object] = {}
    for obj in recording.objects.values():
        if Kind.of(obj) == CONFIG_MAP:
            meta = obj["metadata"]
            kept = {"name": meta["name"], "namespace": meta["namespace"]}
            found[meta["namespace"], meta["name"]] = {**obj, "metadata": kept}
    return tuple(found.values())
