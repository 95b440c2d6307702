"""All the reads of a reconcile: few, and for many Workspaces at once one list a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from kaito.runtime.reader import Lister, Reader
from presets import Catalogue

#: What every Workspace has, and so is listed.
_LISTED: Final = (WORKSPACE, KNATIVE_SERVICE)


def observe(kube: Kube, catalogue: Catalogue, keys: Sequence[Key]) -> Mapping[Key, Observed]:
    """Read one Workspace by its own objects, several by lists."""
    reader = Reader(kube) if len(keys) == 1 else Lister(kube, tuple(sorted({key.name for key in keys})), _LISTED)
    return {key: _observe(reader, catalogue, key) for key in keys}


def around(kube: Kube, catalogue: Catalogue, workspace: Object) -> Observed:
    """What there is for this Workspace, which itself may be only meant to be."""
    return _around(Reader(kube), catalogue, workspace)


def _observe(reader: Reader, catalogue: Catalogue, key: Key) -> Observed:
    workspace = reader.get(WORKSPACE, key.namespace, key.name)
    if workspace is not None:
        return _around(reader, catalogue, workspace)
    claims = _claims(reader, key.namespace, key.name)
    if claims:
        reader.kube.list(WORKSPACE, key.namespace)  # raises where it is the kind that is gone, not this one
    return Observed(None, claims)


def _around(reader: Reader, catalogue: Catalogue, obj: Object) -> Observed:
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


def _claims(reader: Reader, namespace: str, name: str) -> tuple[Object, ...]:
    """Machines and NodeClaims; a cluster may well have only one of the two kinds."""
    labels = {LABEL_WORKSPACE: name, LABEL_NAMESPACE: namespace}
    return tuple(item for kind in CLAIM_KINDS for item in reader.labelled(kind, labels))


def _children(reader: Reader, catalogue: Catalogue, workspace: Workspace) -> Iterator[Object]:
    """What carries its model, and a load balancer that it has no more; the Job of one that tunes is the tuning
    function's."""
    if workspace.tuning:
        return
    gang, balanced = is_gang(workspace, catalogue), is_balanced(workspace.metadata.annotations)
    first, *_ = carriers(workspace, gang=gang, balanced=balanced)
    found = reader.get(first[0], workspace.metadata.namespace, first[1])
    if found is not None:
        yield found
        balanced = balanced or is_balanced(found["metadata"].get("annotations") or {})
    for kind, name in carriers(workspace, gang=gang, balanced=balanced)[1:]:
        if (found := reader.get(kind, workspace.metadata.namespace, name)) is not None:
            yield found


def _pods(reader: Reader, workspace: Workspace, children: Sequence[Object]) -> tuple[Object, ...]:
    """Those of a StatefulSet that is not ready: it does not say why, as a Knative Service does."""
    waiting = any(Kind.of(child) == STATEFUL_SET and not gang_is_ready(child) for child in children)
    return _own(reader, POD, workspace) if waiting else ()


def _routed(reader: Reader, workspace: Workspace, children: Sequence[Object]) -> Object | None:
    """The Knative Revision that says whether the model is at zero."""
    services = (it for it in children if goes_to_zero(workspace) and Kind.of(it) == KNATIVE_SERVICE)
    names = ((routed(it), it["metadata"]["namespace"]) for it in services)
    return next((reader.get(REVISION, namespace, name) for name, namespace in names if name), None)


def _own(reader: Reader, kind: Kind, workspace: Workspace) -> tuple[Object, ...]:
    """Of a kind that many others have objects of too."""
    return reader.labelled(kind, {LABEL_WORKSPACE: workspace.metadata.name}, workspace.metadata.namespace)
