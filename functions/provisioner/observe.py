"""All the reads of a reconcile: the claim and the nodes that say they are its, or all nodes where it may take one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool, pool_name
from functions.provisioner.observed import Observed
from kaito.api.claims import LABEL_CLAIM
from kaito.api.nodes import is_ready
from kaito.api.resources import NODE, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube


def observe(
    kube: Kube, keys: Sequence[Key], *, others: bool = False, pools: Pools | None = None
) -> Mapping[Key, Observed]:
    """Read one claim by a get, several by a list a kind; with ``others``, the nodes that are not theirs too.

    Their agent pools come first: a pool whose claim is not there after that, has lost it.
    """
    if pools is None:
        return _observe(kube, keys, others=others)
    found = _pools(pools, keys)
    seen = _observe(kube, keys, others=others)

    @cache
    def ours() -> Sequence[Object]:
        return [node for node in kube.list(NODE).items if LABEL_CLAIM in node["metadata"].get("labels", {})]

    return {key: _beside(key, seen[key], found[key], ours) for key in keys}


def _beside(key: Key, seen: Observed, pool: Pool | AzureError | None, ours: Callable[[], Sequence[Object]]) -> Observed:
    """With the pool that is of its name, and where a node of it is not Ready, the rest of our nodes: how are they?"""
    if seen.claim is None and isinstance(pool, Pool) and pool.claim != key:
        return seen  # of the same name, but not made for it
    if all(is_ready(node) for node in seen.nodes):
        return replace(seen, pool=pool)
    return replace(seen, pool=pool, others=tuple(node for node in ours() if not _has(node, key.name)))


def _pools(pools: Pools, keys: Sequence[Key]) -> Mapping[Key, Pool | AzureError | None]:
    """Of one claim by a get, of several by a list."""
    try:
        if len(keys) == 1:
            return {key: pools.get(pool_name(key)) for key in keys}
        by_name = {pool.name: pool for pool in pools.list()}
        return {key: by_name.get(pool_name(key)) for key in keys}
    except AzureError as error:
        return dict.fromkeys(keys, error)


def _observe(kube: Kube, keys: Sequence[Key], *, others: bool) -> Mapping[Key, Observed]:
    if len(keys) == 1:
        (key,) = keys
        claim = kube.get(key.kind, key.name)
        labels = {} if others else {LABEL_CLAIM: key.name}
        nodes = kube.list(NODE, labels=labels).items if claim else ()
        return {key: _observed(claim, key.name, nodes, others=others)}
    claims = {
        Key(kind, "", item["metadata"]["name"]): item
        for kind in sorted({key.kind for key in keys})
        for item in kube.list_installed(kind)
    }
    nodes = kube.list(NODE).items
    return {key: _observed(claims.get(key), key.name, nodes, others=others) for key in keys}


def _observed(claim: Object | None, name: str, nodes: Sequence[Object], *, others: bool) -> Observed:
    if claim is None:
        return Observed(None)
    own = tuple(node for node in nodes if _has(node, name))
    return Observed(claim, own, tuple(node for node in nodes if not _has(node, name)) if others else ())


def _has(node: Object, name: str) -> bool:
    found: Object = node["metadata"].get("labels") or {}
    return found.get(LABEL_CLAIM) == name
