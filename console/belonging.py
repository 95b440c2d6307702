"""Whose Workspaces something is about. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eventing.recordings.recording import Record, objects_of
from kaito.api.resources import WORKSPACE, Object
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key, workspace_key

_PREFIX = "workspace/"


def of_event(event: Event) -> str | None:
    """NAMESPACE/NAME of the Workspace that it is about, or whose object."""
    own = own_key(event.attributes, (WORKSPACE,))
    return _named(own or (_of_object(event.data) if isinstance(event.data, dict) else None))


def of_decision(decision: Record, objects: Mapping[str, Object]) -> str | None:
    """That it was made about, or about whose object."""
    if decision.subject.startswith(_PREFIX):
        return decision.subject.removeprefix(_PREFIX)
    seen = (objects.get(digest) for digest in objects_of(decision.data["observed"]))
    about = next((it for it in seen if it is not None and subject_of(it) == decision.subject), None)
    return _named(_of_object(about)) if about else None


def workspaces_seen(decision: Record, objects: Mapping[str, Object]) -> Iterator[Object]:
    """The Workspace that it was made about, as it was then."""
    for digest in objects_of(decision.data["observed"]):
        obj = objects.get(digest)
        if obj is not None and obj.get("kind") == WORKSPACE.kind and subject_of(obj) == decision.subject:
            yield obj


def subject_of(obj: Object) -> str:
    """As records name it."""
    meta = obj.get("metadata") or {}
    return "/".join(it for it in (str(obj.get("kind", "")).lower(), meta.get("namespace", ""), meta["name"]) if it)


def _of_object(obj: Mapping[str, Any]) -> Key | None:
    return owner_key(obj, (WORKSPACE,)) or workspace_key(obj, WORKSPACE)


def _named(key: Key | None) -> str | None:
    return f"{key.namespace}/{key.name}" if key else None
