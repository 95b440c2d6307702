"""What a Workspace asks to be run, or why that cannot be had. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches

import yaml
from pydantic import ValidationError

from functions.workspace.observed import Observed
from kaito.api.claims import GPU
from kaito.api.durations import seconds
from kaito.api.pods import PodTemplate
from kaito.api.refusal import Refusal
from kaito.api.workspace import (
    ANNOTATION_BYPASS,
    ANNOTATION_LOAD_BALANCER,
    ANNOTATION_NODE_RETENTION,
    ANNOTATION_SCALE_TO_ZERO,
    Workspace,
)
from presets import Catalogue, ModelPreset, Needs, Sku, shortfall

#: What cannot be had cannot be changed either.
ANEW = "Delete the Workspace and create it anew."
#: The key of the ConfigMap that inference.config names.
CONFIG_FILE = "inference_config.yaml"
#: A StatefulSet's pods carry its name and a hash as a label.
GANG_NAME_LENGTH = 52
LOAD_BALANCER_SUFFIX = "-lb"


@dataclass(frozen=True, slots=True)
class Work:
    """What is served, or, where it ``tunes``, what is tuned. ``model``: the preset, None for a pod template; ``sku``:
    what each node has; ``gang``: one model in several processes, which no Knative Service carries; ``config``: the text
    of the server's settings, empty for none; ``retention``: seconds that its nodes are kept at zero, None for as long
    as others'."""

    model: ModelPreset | None
    sku: Sku
    gang: bool = False
    config: str = ""
    retention: float | None = None
    tunes: bool = False

    @property
    def needs(self) -> Needs | None:
        """What all nodes must have together; a pod template does not say."""
        if self.model is None:
            return None
        return self.model.tuning if self.tunes else self.model.inference

    @property
    def disk(self) -> str:
        """What a node's disk must hold, as a quantity; a pod template does not say."""
        return self.model.disk if self.model else "0"


def is_gang(workspace: Workspace, catalogue: Catalogue) -> bool:
    """Is its model served by several processes together? Nothing that decides this can be changed."""
    preset = workspace.inference.preset if workspace.inference else None
    model = catalogue.model(preset.name) if preset else None
    return model is not None and (model.distributed or workspace.resource.count > 1)


def work(observed: Observed, workspace: Workspace, catalogue: Catalogue) -> Work | Refusal:
    """What is to run; the first thing that stands against it."""
    if workspace.inference is None:
        tuned = _of_preset(workspace, catalogue)
        return tuned if isinstance(tuned, Refusal) else Work(*tuned, tunes=True)
    config = _config(observed, workspace.inference.config)
    if isinstance(config, Refusal):
        return config
    gang = is_gang(workspace, catalogue)
    found = (_of_template if workspace.inference.preset is None else _of_preset)(workspace, catalogue)
    if isinstance(found, Refusal):
        return found
    model, sku = found
    kept = workspace.metadata.annotations.get(ANNOTATION_NODE_RETENTION)
    try:
        retention = seconds(kept) if kept is not None else None
    except ValueError as error:
        return Refusal("AnnotationInvalid", f"the annotation {ANNOTATION_NODE_RETENTION}: {error}")
    return _not_carried(workspace, gang=gang) or Work(model, sku, gang, config, retention)


def _of_template(workspace: Workspace, catalogue: Catalogue) -> tuple[None, Sku] | Refusal:
    assert workspace.inference is not None
    try:
        gpus = PodTemplate.model_validate(workspace.inference.template).spec.gpus
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors())
        return Refusal("TemplateInvalid", f"inference.template is no pod template: {'; '.join(wrong)}")
    except ValueError as error:
        return Refusal("TemplateInvalid", f"inference.template: a limit of {GPU} is a whole number: {error}")
    sku = _sku(workspace, catalogue, gpus)
    return sku if isinstance(sku, Refusal) else (None, sku)


def _of_preset(workspace: Workspace, catalogue: Catalogue) -> tuple[ModelPreset, Sku] | Refusal:
    what, asked = ("tuning", workspace.tuning) if workspace.tuning else ("inference", workspace.inference)
    assert asked is not None
    preset, count = asked.preset, workspace.resource.count
    assert preset is not None
    model = catalogue.model(preset.name)
    if model is None:
        alike = get_close_matches(preset.name.lower(), catalogue.models, n=3)
        known = f"did you mean {' or '.join(alike)}?" if alike else f"it has {', '.join(catalogue.names)}"
        return Refusal("UnknownPreset", f"there is no preset {preset.name!r} in the catalogue: {known} {ANEW}")
    if model.access_mode == "private" and not (preset.access_mode == "private" and preset.preset_options.image):
        return Refusal(
            "ImageNeeded",
            f"{model.name} is private: set {what}.preset.accessMode: private and presetOptions.image: YOUR-IMAGE",
        )
    needs = model.tuning if workspace.tuning else model.inference
    if needs is None:
        tunable = ", ".join(name for name, it in catalogue.models.items() if it.tuning)
        return Refusal("NotTunable", f"{model.name} cannot be tuned; these can: {tunable}. {ANEW}")
    sku = _sku(workspace, catalogue, math.ceil(needs.gpus / count))
    if isinstance(sku, Refusal):
        return sku
    lacking = shortfall(model.name, needs, sku, count)
    if lacking is None or ANNOTATION_BYPASS in workspace.metadata.annotations:
        return model, sku
    enough = catalogue.smallest(needs, sku.provider)
    return Refusal("InsufficientGPUs", f"{lacking}: {enough.name} would do. {ANEW}" if enough else f"{lacking}. {ANEW}")


def _sku(workspace: Workspace, catalogue: Catalogue, gpus: int) -> Sku | Refusal:
    """What a node of the Workspace has. Nodes that somebody brings are taken by what they offer: ``gpus``, or more."""
    instance_type = workspace.resource.instance_type
    if not instance_type:
        return Sku(name="any", provider="any", gpus=gpus)
    return catalogue.sku(instance_type) or Refusal(
        "UnknownInstanceType",
        f"resource.instanceType {instance_type!r} is not in the catalogue"
        " and starts with neither Standard_N nor Standard_D",
    )


def _config(observed: Observed, name: str) -> str | Refusal:
    if not name:
        return ""
    if observed.config is None:
        return Refusal(
            "ConfigMissing", f"inference.config names the ConfigMap {name}, and there is none here", curable=True
        )
    text = (observed.config.get("data") or {}).get(CONFIG_FILE)
    if text is None:
        return Refusal(
            "ConfigInvalid", f"the ConfigMap {name} of inference.config has no key {CONFIG_FILE}", curable=True
        )
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        where = str(error).replace("\n", " ")
        return Refusal("ConfigInvalid", f"{CONFIG_FILE} in the ConfigMap {name} is not YAML: {where}", curable=True)
    if not isinstance(content, dict):
        return Refusal(
            "ConfigInvalid", f"{CONFIG_FILE} in the ConfigMap {name} holds no settings: NAME: VALUE", curable=True
        )
    return str(text)


def _not_carried(workspace: Workspace, *, gang: bool) -> Refusal | None:
    """What neither a Knative Service nor a StatefulSet can do."""
    name, annotations = workspace.metadata.name, workspace.metadata.annotations
    to_zero = annotations.get(ANNOTATION_SCALE_TO_ZERO) == "true"
    balanced = annotations.get(ANNOTATION_LOAD_BALANCER) == "True"
    if gang and to_zero:
        return Refusal(
            "ScaleToZeroNotPossible",
            f"the model is served by several processes, which Knative does not scale: take the annotation"
            f" {ANNOTATION_SCALE_TO_ZERO} away",
        )
    if gang and workspace.inference is not None and workspace.inference.adapters:
        return Refusal(
            "AdaptersNotPossible",
            "adapters are merged into a model that one process holds, and this one is served by several: leave out"
            " inference.adapters",
        )
    if balanced and to_zero:
        return Refusal(
            "ScaleToZeroNotPossible",
            f"a load balancer goes past Knative, which could not wake the model: take the annotation"
            f" {ANNOTATION_SCALE_TO_ZERO} or {ANNOTATION_LOAD_BALANCER} away",
        )
    longest = GANG_NAME_LENGTH if gang else 63 - len(LOAD_BALANCER_SUFFIX) if balanced else 63
    if len(name) > longest:
        return Refusal("NameTooLong", f"what serves it has longer names: at most {longest} characters. {ANEW}")
    return None
