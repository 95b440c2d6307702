"""All the reads of a reconcile: the claim and the nodes that are its, or all nodes where it may take one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import LABEL_POOL, Pool, pool_name
from functions.provisioner.observed import Observed
from kaito.api.claims import ANNOTATION_PROVISIONER, CLAIM_KINDS, LABEL_CLAIM
from kaito.api.nodes import is_ready
from kaito.api.resources import NODE, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube

#: The label that a node of that claim has, and its value.
Own = Callable[[Key], tuple[str, str]]


def observe(
    kube: Kube, keys: Sequence[Key], *, others: bool = False, pools: Pools | None = None
) -> Mapping[Key, Observed]:
    """Read one claim by a get, several by a list a kind; with ``others``, the nodes that are not theirs too.

    Their agent pools come first: a pool whose claim is not there after that, has lost it.
    """
    if pools is None:
        return _observe(kube, keys, _by_claim, others=others)
    found = _pools(pools, keys, kube.cluster)
    seen = _observe(kube, keys, _by_pool, others=False)
    peers = cache(lambda: _Peers(kube))
    return {key: _beside(key, replace(seen[key], cluster=kube.cluster), found[key], peers) for key in keys}


def _by_claim(key: Key) -> tuple[str, str]:
    return LABEL_CLAIM, key.name


def _by_pool(key: Key) -> tuple[str, str]:
    """AKS sets that, and nobody else."""
    return LABEL_POOL, pool_name(key)


class _Peers:
    """The claims and nodes of ours, all of them."""

    def __init__(self, kube: Kube) -> None:
        nodes = kube.list(NODE).items
        self.nodes = tuple(node for node in nodes if LABEL_CLAIM in node["metadata"].get("labels", {}))
        claims = (item for kind in CLAIM_KINDS for item in kube.list_installed(kind))
        had = {(item.get("status") or {}).get("nodeName") or "" for item in claims if _lives(item["metadata"])}
        self.missing = had - {node["metadata"]["name"] for node in nodes} - {""}


def _lives(meta: Object) -> bool:
    """Is it a claim that this function takes care of, and not on its way out?"""
    return ANNOTATION_PROVISIONER in (meta.get("annotations") or {}) and not meta.get("deletionTimestamp")


def _beside(key: Key, seen: Observed, pool: Pool | AzureError | None, peers: Callable[[], _Peers]) -> Observed:
    """With the pool that is of its name, and where it has no node that is Ready any more, the others: how are they?"""
    if seen.claim is None:
        made_for_it = not isinstance(pool, Pool) or pool.claim == key
        return replace(seen, pool=pool) if made_for_it else seen
    had = (seen.claim.get("status") or {}).get("nodeName") or ""
    if all(map(is_ready, seen.nodes)) and (seen.nodes or not had):
        return replace(seen, pool=pool)
    all_of_us = peers()
    own = {had, *(node["metadata"]["name"] for node in seen.nodes)}
    others = tuple(node for node in all_of_us.nodes if node["metadata"]["name"] not in own)
    return replace(seen, pool=pool, others=others, missing=len(all_of_us.missing - own))


def _pools(pools: Pools, keys: Sequence[Key], cluster: str) -> Mapping[Key, Pool | AzureError | None]:
    """Of one claim by a get, of several by a list."""
    try:
        if len(keys) == 1:
            return {key: pools.get(pool_name(key), cluster) for key in keys}
        by_name = {pool.name: pool for pool in pools.list(cluster)}
        return {key: by_name.get(pool_name(key)) for key in keys}
    except AzureError as error:
        return dict.fromkeys(keys, error)


def _observe(kube: Kube, keys: Sequence[Key], own: Own, *, others: bool) -> Mapping[Key, Observed]:
    if len(keys) == 1:
        (key,) = keys
        claim = kube.get(key.kind, key.name)
        labels = {} if others else dict([own(key)])
        nodes = kube.list(NODE, labels=labels).items if claim else ()
        return {key: _observed(claim, own(key), nodes, others=others)}
    claims = {
        Key(kind, "", item["metadata"]["name"]): item
        for kind in sorted({key.kind for key in keys})
        for item in kube.list_installed(kind)
    }
    nodes = kube.list(NODE).items
    return {key: _observed(claims.get(key), own(key), nodes, others=others) for key in keys}


def _observed(claim: Object | None, label: tuple[str, str], nodes: Sequence[Object], *, others: bool) -> Observed:
    if claim is None:
        return Observed(None)
    own = tuple(node for node in nodes if _has(node, label))
    return Observed(claim, own, tuple(node for node in nodes if not _has(node, label)) if others else ())


def _has(node: Object, label: tuple[str, str]) -> bool:
    name, value = label
    found: Object = node["metadata"].get("labels") or {}
    return found.get(name) == value
