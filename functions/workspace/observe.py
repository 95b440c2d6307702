"""All the reads of a reconcile: few, and for many Workspaces at once one list a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from functions.workspace.history import is_recorded
from functions.workspace.idle import goes_to_zero, routed
from functions.workspace.observed import Observed
from functions.workspace.render import carriers, is_balanced
from functions.workspace.status import gang_is_ready
from functions.workspace.work import is_gang
from kaito.api.claims import CLAIM_KINDS
from kaito.api.resources import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    KNATIVE_SERVICE,
    NODE,
    POD,
    REVISION,
    STATEFUL_SET,
    WORKSPACE,
    Kind,
    Object,
)
from kaito.api.workspace import FINALIZER, LABEL_NAMESPACE, LABEL_WORKSPACE, Workspace
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube
from presets import Catalogue

#: What every Workspace has; the rest few have, and it is read by name.
_LISTED: Final = (WORKSPACE, KNATIVE_SERVICE)
#: So many names, of 63 characters, fit into a URL.
_FEW: Final = 64


def observe(kube: Kube, catalogue: Catalogue, keys: Sequence[Key]) -> Mapping[Key, Observed]:
    """Read one Workspace by its own objects, several by lists."""
    reader = _Reader(kube) if len(keys) == 1 else _Lister(kube, tuple(sorted({key.name for key in keys})))
    return {key: _observe(reader, catalogue, key) for key in keys}


def around(kube: Kube, catalogue: Catalogue, workspace: Object) -> Observed:
    """What there is for this Workspace, which itself may be only meant to be."""
    return _around(_Reader(kube), catalogue, workspace)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what is asked for, each time."""

    kube: Kube

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.kube.get(kind, name, namespace)

    def labelled(self, kind: Kind, labels: Mapping[str, str], namespace: str | None = None) -> tuple[Object, ...]:
        """Of a kind that the cluster may not have."""
        return self.kube.list_installed(kind, labels, namespace)


@dataclass(frozen=True, slots=True)
class _Lister(_Reader):
    """Reads what is of several Workspaces, of these ``names``, when it is first asked for."""

    names: tuple[str, ...]
    lists: dict[Kind, tuple[Object, ...]] = field(default_factory=dict)
    named: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        if kind not in _LISTED:
            return self.kube.get(kind, name, namespace)
        if kind not in self.named:
            self.named[kind] = {_name(item): item for item in self.kube.list(kind).items}
        return self.named[kind].get((namespace, name))

    def labelled(self, kind: Kind, labels: Mapping[str, str], namespace: str | None = None) -> tuple[Object, ...]:
        if namespace is not None:
            return self.kube.list_installed(kind, labels, namespace)
        if kind not in self.lists:
            few = LABEL_WORKSPACE in labels and len(self.names) <= _FEW
            self.lists[kind] = self.kube.list_installed(kind, {LABEL_WORKSPACE: self.names} if few else {})
        return tuple(item for item in self.lists[kind] if labels.items() <= item["metadata"].get("labels", {}).items())


def _observe(reader: _Reader, catalogue: Catalogue, key: Key) -> Observed:
    workspace = reader.get(WORKSPACE, key.namespace, key.name)
    if workspace is not None:
        return _around(reader, catalogue, workspace)
    claims = _claims(reader, key.namespace, key.name)
    if claims:
        reader.kube.list(WORKSPACE, key.namespace)  # raises where it is the kind that is gone, not this one
    return Observed(None, claims)


def _around(reader: _Reader, catalogue: Catalogue, obj: Object) -> Observed:
    workspace = Workspace.model_validate(obj)
    meta = workspace.metadata
    claims = _claims(reader, meta.namespace, meta.name)
    children = tuple(_children(reader, catalogue, workspace))
    if meta.deletion_timestamp:
        return Observed(obj, claims, (), children)
    config = workspace.inference.config if workspace.inference else ""
    return Observed(
        obj,
        claims,
        reader.labelled(NODE, workspace.resource.label_selector.labels()),
        children,
        reader.get(CONFIG_MAP, meta.namespace, config) if config else None,
        _pods(reader, workspace, children),
        () if is_recorded(obj) or _has_no_past(workspace) else _own(reader, CONTROLLER_REVISION, workspace),
        _routed(reader, workspace, children),
    )


def _has_no_past(workspace: Workspace) -> bool:
    """A new one, which never asked for anything else. (A changed one without the mark may well have a history: the
    function died before it set the mark, or was late.)"""
    return workspace.metadata.generation == 1 and FINALIZER not in workspace.metadata.finalizers


def _claims(reader: _Reader, namespace: str, name: str) -> tuple[Object, ...]:
    """Machines and NodeClaims; a cluster may well have only one of the two kinds."""
    labels = {LABEL_WORKSPACE: name, LABEL_NAMESPACE: namespace}
    return tuple(item for kind in CLAIM_KINDS for item in reader.labelled(kind, labels))


def _children(reader: _Reader, catalogue: Catalogue, workspace: Workspace) -> Iterator[Object]:
    """What carries its model, and a load balancer that it has no more."""
    gang, balanced = is_gang(workspace, catalogue), is_balanced(workspace.metadata.annotations)
    first, *_ = carriers(workspace, gang=gang, balanced=balanced)
    found = reader.get(first[0], workspace.metadata.namespace, first[1])
    if found is not None:
        yield found
        balanced = balanced or is_balanced(found["metadata"].get("annotations") or {})
    for kind, name in carriers(workspace, gang=gang, balanced=balanced)[1:]:
        if (found := reader.get(kind, workspace.metadata.namespace, name)) is not None:
            yield found


def _pods(reader: _Reader, workspace: Workspace, children: Sequence[Object]) -> tuple[Object, ...]:
    """Those of a StatefulSet that is not ready: it does not say why, as a Knative Service does."""
    waiting = any(Kind.of(child) == STATEFUL_SET and not gang_is_ready(child) for child in children)
    return _own(reader, POD, workspace) if waiting else ()


def _routed(reader: _Reader, workspace: Workspace, children: Sequence[Object]) -> Object | None:
    """The Knative Revision that says whether the model is at zero."""
    services = (it for it in children if goes_to_zero(workspace) and Kind.of(it) == KNATIVE_SERVICE)
    names = ((routed(it), it["metadata"]["namespace"]) for it in services)
    return next((reader.get(REVISION, namespace, name) for name, namespace in names if name), None)


def _own(reader: _Reader, kind: Kind, workspace: Workspace) -> tuple[Object, ...]:
    """Of a kind that many others have objects of too."""
    return reader.labelled(kind, {LABEL_WORKSPACE: workspace.metadata.name}, workspace.metadata.namespace)


def _name(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
