"""Reading for reconciles: of one Workspace by name, of many by one list a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kaito.api.resources import Kind, Object
from kaito.api.workspace import LABEL_WORKSPACE
from kaito.runtime.kube import Kube

#: So many names, of 63 characters, fit into a URL.
_FEW: Final = 64


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what is asked for, each time."""

    kube: Kube

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.kube.get(kind, name, namespace)

    def labelled(self, kind: Kind, labels: Mapping[str, str], namespace: str | None = None) -> tuple[Object, ...]:
        """Of a kind that the cluster may not have."""
        return self.kube.list_installed(kind, labels, namespace)


@dataclass(frozen=True, slots=True)
class Lister(Reader):
    """Reads what is of several Workspaces, of these ``names``, when it is first asked for: of kinds that are ``listed``
    all at once, and by name what few have."""

    names: tuple[str, ...]
    listed: tuple[Kind, ...]
    lists: dict[Kind, tuple[Object, ...]] = field(default_factory=dict)
    named: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        if kind not in self.listed:
            return self.kube.get(kind, name, namespace)
        if kind not in self.named:
            self.named[kind] = {
                (item["metadata"]["namespace"], item["metadata"]["name"]): item for item in self.kube.list(kind).items
            }
        return self.named[kind].get((namespace, name))

    def labelled(self, kind: Kind, labels: Mapping[str, str], namespace: str | None = None) -> tuple[Object, ...]:
        if namespace is not None:
            return self.kube.list_installed(kind, labels, namespace)
        if kind not in self.lists:
            few = LABEL_WORKSPACE in labels and len(self.names) <= _FEW
            self.lists[kind] = self.kube.list_installed(kind, {LABEL_WORKSPACE: self.names} if few else {})
        return tuple(item for item in self.lists[kind] if labels.items() <= item["metadata"].get("labels", {}).items())
