"""All the reads of a reconcile: few, and for many Workspaces at once one list a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from functions.tuning.observed import Observed
from functions.tuning.progress import ask
from functions.tuning.render import TRAIN
from functions.tuning.stages import standing
from functions.tuning.work import config_map
from kaito.api.resources import CONFIG_MAP, JOB, POD, WORKSPACE, Object
from kaito.api.workspace import LABEL_WORKSPACE, Workspace
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube
from kaito.runtime.reader import Lister, Reader

_LISTED: Final = (WORKSPACE, JOB)
#: Pods that are asked at once how far they are.
_ASKED: Final = 16


def observe(kube: Kube, keys: Sequence[Key]) -> Mapping[Key, Observed]:
    """Read one Workspace by its own objects, several by lists; those that do not tune count as gone."""
    reader = Reader(kube) if len(keys) == 1 else Lister(kube, tuple(sorted({key.name for key in keys})), _LISTED)
    found = [_observe(reader, key) for key in keys]  # one after the other: the first lists for all
    with ThreadPoolExecutor(_ASKED) as crew:
        return dict(zip(keys, crew.map(_with_progress, found), strict=True))


def _observe(reader: Reader, key: Key) -> Observed:
    obj = reader.get(WORKSPACE, key.namespace, key.name)
    if obj is None or not obj.get("tuning"):
        return Observed(None)
    workspace = Workspace.model_validate(obj)
    job = reader.get(JOB, key.namespace, key.name)
    if workspace.metadata.deletion_timestamp:
        return Observed(obj, job)
    pods: tuple[Object, ...] = ()
    if job is not None:
        pods = reader.labelled(POD, {LABEL_WORKSPACE: key.name}, key.namespace)
    config = reader.get(CONFIG_MAP, key.namespace, config_map(workspace))
    return Observed(obj, job, pods, config)


def _with_progress(it: Observed) -> Observed:
    if it.job is None:
        return it
    stood = standing(it.job, it.pods)
    return replace(it, progress=ask(stood.host)) if stood.stage == TRAIN and stood.host else it
