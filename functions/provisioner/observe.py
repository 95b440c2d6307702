"""All the reads of a reconcile: the claim and the nodes that say they are its."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.provisioner.observed import LABEL_CLAIM, Observed
from kaito.api.resources import NODE
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube


def observe(kube: Kube, keys: Sequence[Key]) -> Mapping[Key, Observed]:
    """Read one claim by a get, several by a list a kind."""
    if len(keys) == 1:
        claim = kube.get(keys[0].kind, keys[0].name)
        nodes = kube.list(NODE, labels={LABEL_CLAIM: keys[0].name}).items if claim else ()
        return {keys[0]: Observed(claim, nodes)}
    claims = {
        Key(kind, "", item["metadata"]["name"]): item
        for kind in sorted({key.kind for key in keys})
        for item in kube.list(kind).items
    }
    nodes = kube.list(NODE).items
    return {
        key: Observed(
            claims.get(key),
            tuple(node for node in nodes if node["metadata"].get("labels", {}).get(LABEL_CLAIM) == key.name),
        )
        for key in keys
    }
