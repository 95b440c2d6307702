"""Workspaces of every kind, and what is rendered for them: ``golden`` holds it, one file for each.

``python -m tests.unit.functions.workspace.matrix`` writes those files anew, for a person to read the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import presets
from functions.workspace.observed import Observed
from functions.workspace.render import render
from functions.workspace.settings import Settings
from functions.workspace.work import work
from kaito.api.refusal import Refusal
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from tests.golden import shown, write

GOLDEN: Final = Path(__file__).parent / "golden"
CATALOGUE: Final = presets.load()
#: How the names of scenes begin where the kubelets mount no images.
PULLED: Final = "pulled"
#: In the name of one where an installation says whom to trust.
TRUSTING: Final = "trusting"
_CONFIG: Final = {"data": {"inference_config.yaml": "transformers:\n  generate_kwargs:\n    max_new_tokens: 64\n"}}
_POEMS: Final = {"source": {"name": "poems", "image": "example.com/poems:1", "imagePullSecrets": ["mine"]}}
_LAWS: Final = {"source": {"name": "laws.v2", "image": "example.com/laws:2"}, "strength": "0.5"}


def workspace(
    instance_type: str, inference: Object, *, count: int = 1, annotations: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "it", "namespace": "default", "uid": "u", "annotations": annotations or {}},
        "resource": {
            "count": count,
            "instanceType": instance_type,
            "labelSelector": {"matchLabels": {"apps": "it"}},
        },
        "inference": inference,
    }


def preset(name: str, **more: Any) -> Object:
    return {"preset": {"name": name}, **more}


def private(name: str) -> Object:
    options = {"image": "example.com/weights:1", "imagePullSecrets": ["weights", "mine"]}
    return {"preset": {"name": name, "accessMode": "private", "presetOptions": options}}


_TEMPLATE: Final = {
    "template": {
        "metadata": {
            "labels": {"team": "chat"},
            "annotations": {"serving.knative.dev/progress-deadline": "10m"},
        },
        "spec": {
            "containers": [
                {
                    "image": "example.com/server:1",
                    "ports": [{"containerPort": 8000}],
                    "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1500m"}},
                }
            ],
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
        },
    }
}
SCENES: Final[dict[str, Object]] = {
    "preset-on-cpu": workspace("Standard_D4s_v5", preset("smollm2-135m-instruct")),
    "preset-on-gpu": workspace("Standard_NC6s_v3", preset("phi-3-mini-4k-instruct")),
    "preset-on-gpus": workspace("Standard_NC48ads_A100_v4", preset("falcon-40b-instruct")),
    "preset-on-brought-node": workspace("", preset("phi-3-mini-4k-instruct")),
    "preset-private": workspace("Standard_NC24ads_A100_v4", private("mistral-7b-instruct")),
    "preset-with-adapters": workspace(
        "Standard_NC24ads_A100_v4", {**private("phi-3-mini-4k-instruct"), "adapters": [_POEMS, _LAWS]}
    ),
    "preset-with-config": workspace("Standard_NC6s_v3", preset("phi-3-mini-4k-instruct", config="mine")),
    "preset-to-zero": workspace(
        "Standard_NC6s_v3", preset("phi-3-mini-4k-instruct"), annotations={"kaito.sh/scale-to-zero": "true"}
    ),
    "preset-balanced": workspace(
        "Standard_NC6s_v3", preset("phi-3-mini-4k-instruct"), annotations={"kaito.sh/enablelb": "True"}
    ),
    "template": workspace("Standard_NC6s_v3", _TEMPLATE),
    "template-on-two-nodes": workspace("Standard_NC6s_v3", _TEMPLATE, count=2),
    "gang-on-one-node": workspace("Standard_ND96asr_v4", private("llama-2-70b-chat")),
    "gang-on-two-nodes": workspace(
        "Standard_NC24ads_A100_v4",
        {**private("llama-2-13b"), "config": "mine"},
        count=2,
        annotations={"kaito.sh/enablelb": "True"},
    ),
    "preset-on-two-nodes": workspace("Standard_D4s_v5", preset("smollm2-135m-instruct"), count=2),
    "pulled-preset-with-adapters": workspace(
        "Standard_NC24ads_A100_v4", {**private("phi-3-mini-4k-instruct"), "adapters": [_POEMS, _LAWS]}
    ),
    "pulled-trusting-preset-with-adapters": workspace(
        "Standard_NC24ads_A100_v4", {**private("phi-3-mini-4k-instruct"), "adapters": [_POEMS, _LAWS]}
    ),
    "pulled-gang-on-two-nodes": workspace("Standard_NC24ads_A100_v4", private("llama-2-13b"), count=2),
}


def rendered(scene: str) -> tuple[Object, ...]:
    """What is applied for that scene's Workspace."""
    settings = Settings(image_volumes=not scene.startswith(PULLED), trust_bundle="trusted" if TRUSTING in scene else "")
    return applied(SCENES[scene], settings)


def applied(obj: Object, settings: Settings = Settings()) -> tuple[Object, ...]:  # noqa: B008 - it never changes
    """What is applied for the Workspace, where it can be had."""
    parsed = Workspace.model_validate(obj)
    asked = work(Observed(obj, config=_CONFIG), parsed, CATALOGUE)
    assert not isinstance(asked, Refusal), asked
    return render(parsed, asked, settings)


def text(scene: str) -> str:
    return shown(rendered(scene))


if __name__ == "__main__":
    write(GOLDEN, SCENES, text)
