"""The shell: which events hint at which claim, and the function as the runtime wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter

import structlog

import presets
from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from functions.provisioner.observe import observe
from functions.provisioner.observed import Observed
from functions.provisioner.reconcile import reconcile, refused
from functions.provisioner.settings import Settings
from functions.provisioner.status import NAME
from kaito.api.claims import CLAIM_KINDS, LABEL_CLAIM
from kaito.api.resources import NODE
from kaito.runtime.apply import run
from kaito.runtime.decisions import Decisions
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Beyond, Effect, Plan, Refused
from kaito.runtime.reconciler import Function
from kaito.runtime.recording.installation import Installation
from kaito.runtime.sweep import fast_sweep, hears

log = structlog.get_logger()


def keys(event: Event) -> Iterable[Key]:
    """The claim itself, or the claim that has the node the event is about: owns it, or is named by its label."""
    own = own_key(event.attributes, CLAIM_KINDS)
    if own is not None:
        return (own,)
    node = event.data
    if not isinstance(node, dict):
        return ()
    owner = owner_key(node, CLAIM_KINDS)
    if owner is not None:
        return (owner,)
    name = ((node.get("metadata") or {}).get("labels") or {}).get(LABEL_CLAIM)
    return tuple(Key(kind, "", name) for kind in CLAIM_KINDS) if name else ()  # the label names no kind


def list_keys(kube: Kube, pools: Pools | None = None) -> Sequence[Key]:
    """All claims, and those that agent pools of ours were made for: a pool that has lost its claim is found so."""
    claims = [Key(kind, "", item["metadata"]["name"]) for kind in CLAIM_KINDS for item in kube.list_installed(kind)]
    try:
        made_for = [pool.claim for pool in pools.list(kube.cluster)] if pools else []
    except AzureError as error:
        log.warning("agent pools not listed", error=str(error))  # as each claim will say
        made_for = []
    return list(dict.fromkeys((*claims, *filter(None, made_for))))


def decisions(environment: Mapping[str, str]) -> Decisions[Observed]:
    """By what an installation says."""
    settings, catalogue = Settings.from_environment(environment), presets.installed(environment)

    def decide(observed: Observed, now: datetime) -> Plan:
        return reconcile(observed, catalogue, settings, now)

    def refuse(observed: Observed, write: Refused, now: datetime) -> Plan:
        return refused(observed, write, catalogue, settings, now)

    return Decisions(decide, refuse, (Observed, Pool, AzureError, CreatePool, DeletePool, AbortPool))


def function() -> Function[Observed]:
    settings, decided = Settings.from_environment(os.environ), decisions(os.environ)
    pools = Pools.of(settings.azure) if settings.azure else None

    def write(effect: Effect, kube: Kube, manager: str) -> None:
        if pools and isinstance(effect, Beyond):
            pools.run(effect)
        else:
            run(effect, kube, manager)

    reads = partial(observe, others=settings.adopts, pools=pools)
    return Function(
        name=NAME,
        keys=keys,
        stirs=NODE,
        list_keys=partial(list_keys, pools=pools),
        observe=reads,
        own=attrgetter("claim"),
        others=lambda it: (*it.nodes, *it.others),
        decisions=decided,
        run=write,
        fast_sweep=fast_sweep(NAME),
        hears=partial(hears, function=NAME),
        installation=partial(Installation.of, os.environ, {presets.FOLDER_VARIABLE: presets.FOLDER}),
    )
