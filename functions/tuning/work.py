"""What a Workspace asks to be tuned, or why that cannot be had. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final, cast

from functions.tuning.observed import Observed
from functions.tuning.settings import Settings
from kaito.api.redaction import redacted
from kaito.api.refusal import Refusal
from kaito.api.resources import Object
from kaito.api.training import CONFIG_FILE, Method, TrainingConfig, TrainingConfigError, training_config
from kaito.api.workspace import Workspace
from presets import Catalogue, ModelPreset

#: What the ConfigMaps are called whose content is the installation's.
_TEMPLATE: Final = "{}-params-template"


@dataclass(frozen=True, slots=True)
class Work:
    """``gpus``: of the node; ``config``: what ``text`` says, which is in the ConfigMap ``config_map``; ``digest`` names
    all that the result depends on."""

    model: ModelPreset
    gpus: int
    method: Method
    config_map: str
    text: str
    config: TrainingConfig
    digest: str


def method(workspace: Workspace) -> Method:
    assert workspace.tuning is not None
    return cast(Method, workspace.tuning.method.lower())


def config_map(workspace: Workspace) -> str:
    """The name of the ConfigMap with its training config."""
    assert workspace.tuning is not None
    return workspace.tuning.config or _TEMPLATE.format(method(workspace))


def work(observed: Observed, workspace: Workspace, catalogue: Catalogue, settings: Settings) -> Work | Refusal | None:
    """What is to be done; the first thing that stands against it. None for what the workspace function refuses: a model
    or an instance type that the catalogue has not."""
    assert workspace.tuning is not None
    model = catalogue.model(workspace.tuning.preset.name)
    instance_type = workspace.resource.instance_type
    sku = catalogue.sku(instance_type) if instance_type else None
    if model is None or model.tuning is None or (instance_type and sku is None):
        return None
    how = method(workspace)
    text = _text(observed, workspace, settings.templates[how])
    if isinstance(text, Refusal):
        return text
    name = config_map(workspace)
    try:
        config = training_config(text, how)
    except TrainingConfigError as error:
        return Refusal("ConfigInvalid", f"the ConfigMap {name} of tuning.config: {error}", curable=True)
    gpus = (sku.gpus if sku else model.tuning.gpus) if model.tuning.gpus else 0
    return Work(model, gpus, how, name, text, config, _digest(observed.workspace or {}, text))


def _text(observed: Observed, workspace: Workspace, template: str) -> str | Refusal:
    """The training config; the installation's, where the Workspace names none and nobody has put one here."""
    assert workspace.tuning is not None
    name, own = config_map(workspace), workspace.tuning.config
    if observed.config is None:
        if not own:
            return template
        return Refusal(
            "ConfigMissing", f"tuning.config names the ConfigMap {name}, and there is none here", curable=True
        )
    text = (observed.config.get("data") or {}).get(CONFIG_FILE)
    if text is None:
        return Refusal("ConfigInvalid", f"the ConfigMap {name} of tuning.config has no key {CONFIG_FILE}", curable=True)
    return str(text)


def _digest(workspace: Object, text: str) -> str:
    """Not of the image that does it: with the next release nothing is tuned anew."""
    asked = json.dumps(redacted([workspace["tuning"], text]), sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
