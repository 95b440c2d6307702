"""The tuning function's part in ``kaito plan`` and ``kaito why``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from functions.tuning.observe import observe
from functions.tuning.observed import Observed
from functions.tuning.rehearsal import Rehearsal, explain, look, rehearse
from functions.tuning.settings import FOLDER_VARIABLE, Settings
from functions.tuning.work import config_map
from functions.workspace.rehearsal import Explanation
from kaito.api.conditions import obstacle
from kaito.api.resources import CONFIG_MAP, KNATIVE_SERVICE, WORKSPACE, Object
from kaito.api.training import CONFIG_FILE
from kaito.api.workspace import Workspace
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube
from presets import Catalogue
from presets.manifest import NAMESPACE

_FUNCTION: Final = "kaito-tuning"
_TEMPLATES: Final = "kaito-tuning-templates"


def plan(
    kube: Kube | None, obj: Object, configs: Mapping[str, Object], catalogue: Catalogue, now: datetime
) -> Rehearsal:
    """Of a Workspace that is there or only meant to be; ``configs`` are those that come with it, by name."""
    workspace, settings = Workspace.model_validate(obj), _settings(kube)
    assert workspace.tuning is not None
    if kube is None:
        own, name = workspace.tuning.config, config_map(workspace)
        assumed = {"data": {CONFIG_FILE: settings.templates[workspace.tuning.method.lower()]}}
        observed = Observed(obj, config=assumed if own and name not in configs else None)  # who knows what is there
    else:
        key = Key(WORKSPACE, workspace.metadata.namespace, workspace.metadata.name)
        observed = replace(observe(kube, [key])[key], workspace=obj)
    if (given := configs.get(config_map(workspace))) is not None:
        observed = replace(observed, config=given)
    return rehearse(observed, catalogue, settings, now)


def why(kube: Kube, obj: Object, nodes: Explanation, catalogue: Catalogue, now: datetime) -> Explanation:
    """What the workspace function says of the ``nodes``, and what there is to say of the Job."""
    meta = obj["metadata"]
    key = Key(WORKSPACE, meta["namespace"], meta["name"])
    job = explain(observe(kube, [key])[key], catalogue, _settings(kube), now)
    parts = (*(part for part in nodes.parts if part.type != job.type), job)
    tuned = job.status == "True" and job.reason == "Succeeded"
    awaited = None if tuned else obstacle(parts) or job
    return Explanation(parts, awaited, look(obj) if awaited is job else nodes.look, nodes.behind)


def _settings(kube: Kube | None) -> Settings:
    """As the function there has them."""
    if kube is None:
        return Settings.from_environment(os.environ)
    service = kube.get(KNATIVE_SERVICE, _FUNCTION, NAMESPACE) or {}
    containers = service.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [{}])
    variables = {it["name"]: it.get("value", "") for it in containers[0].get("env") or ()}
    found = kube.get(CONFIG_MAP, _TEMPLATES, NAMESPACE) or {}
    with tempfile.TemporaryDirectory(prefix="kaito-templates-") as folder:
        for name, text in (found.get("data") or {}).items():
            (Path(folder) / name).write_text(text)
        return Settings.from_environment({**variables, FOLDER_VARIABLE: folder})
