"""The shell: which events hint at which Workspace, and the function as the runtime wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime

import presets
from functions.workspace.observe import observe
from functions.workspace.observed import Observed
from functions.workspace.reconcile import NAME, reconcile
from functions.workspace.settings import Settings
from kaito.api.resources import WORKSPACE
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key, workspace_key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Plan
from kaito.runtime.reconciler import Function
from kaito.runtime.sweep import fast_sweep


def keys(event: Event) -> Iterable[Key]:
    """The Workspace itself, or that of the child the event is about."""
    own = own_key(event.attributes, (WORKSPACE,))
    if own is not None:
        return (own,)
    child = event.data
    if not isinstance(child, dict):
        return ()
    key = owner_key(child, (WORKSPACE,)) or workspace_key(child, WORKSPACE)
    return (key,) if key else ()


def list_keys(kube: Kube) -> Sequence[Key]:
    return [
        Key(WORKSPACE, item["metadata"]["namespace"], item["metadata"]["name"]) for item in kube.list(WORKSPACE).items
    ]


def function() -> Function[Observed]:
    settings = Settings.from_environment(os.environ)
    catalogue = presets.load()

    def decide(observed: Observed, now: datetime) -> Plan:
        return reconcile(observed, catalogue, settings, now)

    return Function(NAME, keys, list_keys, observe, decide, fast_sweep(NAME))
