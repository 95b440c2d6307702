"""The shell: which events hint at which Workspace, and the function as the runtime wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter

import presets
from functions.workspace.measuring import measure
from functions.workspace.observe import observe
from functions.workspace.observed import Observed
from functions.workspace.reconcile import NAME, reconcile, refused
from functions.workspace.settings import Settings
from functions.workspace.startup import Measure
from kaito.api.claims import CLAIM_KINDS
from kaito.api.resources import KNATIVE_SERVICE, NODE, WORKSPACE
from kaito.runtime.apply import run
from kaito.runtime.decisions import Decisions
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key, workspace_key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Effect, Plan
from kaito.runtime.reconciler import Function
from kaito.runtime.recording.installation import Installation
from kaito.runtime.sweep import fast_sweep, hears
from presets import Catalogue


def keys(event: Event) -> Iterable[Key]:
    """The Workspace itself, or that of the child the event is about."""
    own = own_key(event.attributes, (WORKSPACE,))
    if own is not None:
        return (own,)
    child = event.data
    if not isinstance(child, dict):
        return ()
    key = owner_key(child, (WORKSPACE,)) or workspace_key(child, WORKSPACE)
    if key is None and event.type.endswith(".delete"):
        key = _freed_name(event)
    return (key,) if key else ()


def _freed_name(event: Event) -> Key | None:
    """A Service of somebody else that is gone: a Workspace of its name may have waited for that."""
    service = own_key(event.attributes, (KNATIVE_SERVICE,))
    return Key(WORKSPACE, service.namespace, service.name) if service else None


def list_keys(kube: Kube) -> Sequence[Key]:
    """All Workspaces, and those whose claims have outlived them."""
    keys = {
        Key(WORKSPACE, item["metadata"]["namespace"], item["metadata"]["name"]) for item in kube.list(WORKSPACE).items
    }
    claims = (claim for kind in CLAIM_KINDS for claim in kube.list_installed(kind))
    keys |= {key for claim in claims if (key := workspace_key(claim, WORKSPACE))}
    return sorted(keys)


def decisions(environment: Mapping[str, str]) -> Decisions[Observed]:
    """By what an installation says."""
    return _decisions(presets.installed(environment), Settings.from_environment(environment))


def _decisions(catalogue: Catalogue, settings: Settings) -> Decisions[Observed]:
    def decide(observed: Observed, now: datetime) -> Plan:
        return reconcile(observed, catalogue, settings, now)

    return Decisions(decide, refused, (Observed, Measure))


def function() -> Function[Observed]:
    catalogue = presets.installed(os.environ)

    def look(kube: Kube, keys: Sequence[Key]) -> Mapping[Key, Observed]:
        return observe(kube, catalogue, keys)

    def write(effect: Effect, kube: Kube, manager: str) -> None:
        if isinstance(effect, Measure):
            measure(effect, kube)
        else:
            run(effect, kube, manager)

    return Function(
        name=NAME,
        keys=keys,
        stirs=NODE,
        list_keys=list_keys,
        observe=look,
        own=attrgetter("workspace"),
        others=lambda it: (*it.claims, *it.nodes, *it.children, *filter(None, [it.routed])),
        decisions=_decisions(catalogue, Settings.from_environment(os.environ)),
        run=write,
        fast_sweep=fast_sweep(NAME),
        hears=partial(hears, function=NAME),
        installation=partial(Installation.of, os.environ, {presets.FOLDER_VARIABLE: presets.FOLDER}),
    )
