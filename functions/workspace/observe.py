"""All the reads of a reconcile: few, and for many Workspaces at once one list a kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from functions.workspace.observed import Observed
from kaito.api.claims import CLAIM_KINDS
from kaito.api.resources import KNATIVE_SERVICE, NODE, WORKSPACE, Object
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE, Workspace
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube


def observe(kube: Kube, keys: Sequence[Key]) -> Mapping[Key, Observed]:
    """Read one Workspace by its own objects, several by lists."""
    if len(keys) == 1:
        return {keys[0]: _observe_one(kube, keys[0])}
    workspaces = {_name(item): item for item in kube.list(WORKSPACE).items}
    services = {_name(item): item for item in kube.list(KNATIVE_SERVICE).items}
    claims: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for claim in _claims(kube, {}):
        labels = claim["metadata"].get("labels", {})
        claims[labels.get(LABEL_NAMESPACE, ""), labels.get(LABEL_WORKSPACE, "")].append(claim)
    nodes = kube.list(NODE).items
    result = {}
    for key in keys:
        name = (key.namespace, key.name)
        workspace = workspaces.get(name)
        matching = tuple(node for node in nodes if workspace and _has(node, _node_labels(workspace)))
        result[key] = Observed(workspace, tuple(claims[name]), matching, services.get(name))
    return result


def _observe_one(kube: Kube, key: Key) -> Observed:
    workspace = kube.get(WORKSPACE, key.name, key.namespace)
    if workspace is not None:
        return around(kube, workspace)
    claims = _claims_of(kube, key.namespace, key.name)
    if claims:
        kube.list(WORKSPACE, key.namespace)  # raises where it is the kind that is gone, not this one
    return Observed(None, claims)


def around(kube: Kube, workspace: Object) -> Observed:
    """What there is for this Workspace, which itself may be only meant to be."""
    namespace, name = _name(workspace)
    going = workspace["metadata"].get("deletionTimestamp")
    nodes = () if going else kube.list(NODE, labels=_node_labels(workspace)).items
    return Observed(workspace, _claims_of(kube, namespace, name), nodes, kube.get(KNATIVE_SERVICE, name, namespace))


def _claims_of(kube: Kube, namespace: str, name: str) -> tuple[Object, ...]:
    return _claims(kube, {LABEL_WORKSPACE: name, LABEL_NAMESPACE: namespace})


def _claims(kube: Kube, labels: Mapping[str, str]) -> tuple[Object, ...]:
    """Machines and NodeClaims; a cluster may well have only one of the two kinds."""
    return tuple(item for kind in CLAIM_KINDS for item in kube.list_installed(kind, labels))


def _node_labels(workspace: Object) -> dict[str, str]:
    return Workspace.model_validate(workspace).resource.label_selector.labels()


def _has(node: Object, labels: Mapping[str, str]) -> bool:
    found = node["metadata"].get("labels", {})
    return all(found.get(key) == value for key, value in labels.items())


def _name(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
