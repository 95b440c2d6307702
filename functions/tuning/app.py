"""The shell: which events hint at which Workspace, and the function as the runtime wants it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter

import presets
from functions.tuning.observe import observe
from functions.tuning.observed import Observed
from functions.tuning.reconcile import reconcile, refused
from functions.tuning.settings import FOLDER_VARIABLE, SHIPPED, Settings
from functions.tuning.status import NAME
from kaito.api.resources import JOB, WORKSPACE
from kaito.runtime.apply import run
from kaito.runtime.decisions import Decisions
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key, owner_key, workspace_key
from kaito.runtime.kube import Kube
from kaito.runtime.plan import Plan
from kaito.runtime.reconciler import Function
from kaito.runtime.recording.installation import Installation
from kaito.runtime.sweep import fast_sweep, hears


def keys(event: Event) -> Iterable[Key]:
    """The Workspace itself, unless the event shows that it does not tune, or that of the Job or pod it is about."""
    own = own_key(event.attributes, (WORKSPACE,))
    obj = event.data if isinstance(event.data, dict) else {}
    if own is not None:
        return () if "inference" in obj and "tuning" not in obj else (own,)
    job = own_key(event.attributes, (JOB,))
    key = owner_key(obj, (WORKSPACE,)) or workspace_key(obj, WORKSPACE)
    if key is None and job is not None and event.type.endswith(".delete"):
        key = Key(WORKSPACE, job.namespace, job.name)  # a Workspace of its name may have waited for that
    return (key,) if key else ()


def list_keys(kube: Kube) -> Sequence[Key]:
    """All Workspaces that tune."""
    found = (item for item in kube.list(WORKSPACE).items if item.get("tuning"))
    return sorted(Key(WORKSPACE, item["metadata"]["namespace"], item["metadata"]["name"]) for item in found)


def decisions(environment: Mapping[str, str]) -> Decisions[Observed]:
    """By what an installation says."""
    settings, catalogue = Settings.from_environment(environment), presets.installed(environment)

    def decide(observed: Observed, now: datetime) -> Plan:
        return reconcile(observed, catalogue, settings, now)

    return Decisions(decide, refused, (Observed,))


def function() -> Function[Observed]:
    decided = decisions(os.environ)
    folders = {presets.FOLDER_VARIABLE: presets.FOLDER, FOLDER_VARIABLE: SHIPPED}
    return Function(
        name=NAME,
        keys=keys,
        stirs=JOB,
        list_keys=list_keys,
        observe=observe,
        own=attrgetter("workspace"),
        others=lambda it: (*filter(None, [it.job, it.config]), *it.pods),
        decisions=decided,
        run=run,
        fast_sweep=fast_sweep(NAME),
        hears=partial(hears, function=NAME),
        installation=partial(Installation.of, os.environ, folders),
    )
