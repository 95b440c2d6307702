"""The shell: which events hint at which claim, and the function as the runtime wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter

import presets
from functions.provisioner.observe import observe
from functions.provisioner.observed import LABEL_CLAIM, Observed
from functions.provisioner.reconcile import NAME, reconcile, refused
from functions.provisioner.settings import Settings
from kaito.api.claims import CLAIM_KINDS
from kaito.api.resources import NODE
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Plan
from kaito.runtime.reconciler import Function
from kaito.runtime.sweep import fast_sweep, hears


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


def list_keys(kube: Kube) -> Sequence[Key]:
    return [Key(kind, "", item["metadata"]["name"]) for kind in CLAIM_KINDS for item in kube.list_installed(kind)]


def function() -> Function[Observed]:
    settings = Settings.from_environment(os.environ)
    catalogue = presets.installed(os.environ)

    def decide(observed: Observed, now: datetime) -> Plan:
        return reconcile(observed, catalogue, settings, now)

    reads = partial(observe, others=settings.adopts)
    return Function(
        name=NAME,
        keys=keys,
        stirs=NODE,
        list_keys=list_keys,
        observe=reads,
        own=attrgetter("claim"),
        others=lambda it: (*it.nodes, *it.others),
        reconcile=decide,
        refused=refused,
        fast_sweep=fast_sweep(NAME),
        hears=partial(hears, function=NAME),
    )
