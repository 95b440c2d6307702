"""From an event to the object it is a hint about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kaito.api.resources import Kind, controller_of
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE

PING = "dev.knative.sources.ping"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The object a function reconciles; ``namespace`` is empty for cluster-scoped kinds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind.kind.lower(), self.namespace, self.name) if part)


def own_key(attributes: Mapping[str, str], kinds: Iterable[Kind]) -> Key | None:
    """The key where the event is about one of ``kinds`` itself (any version of it)."""
    version, kind, name = (
        attributes.get("apiversion", ""),
        attributes.get("kind", ""),
        attributes.get("name", ""),
    )
    group = version.rpartition("/")[0]
    for own in kinds:
        if name and own.kind == kind and own.group == group:
            return Key(own, attributes.get("namespace", ""), name)
    return None


def owner_key(obj: Mapping[str, Any], kinds: Iterable[Kind]) -> Key | None:
    """The key of the controller that owns the event's object, where it is one of ``kinds``."""
    found = controller_of(obj, kinds)
    if found is None:
        return None
    kind, reference = found
    return Key(kind, obj["metadata"].get("namespace", ""), reference["name"])


def workspace_key(obj: Mapping[str, Any], kind: Kind) -> Key | None:
    """The Workspace that the event's object is labelled with."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    name, namespace = labels.get(LABEL_WORKSPACE), labels.get(LABEL_NAMESPACE)
    return Key(kind, namespace, name) if name and namespace else None
