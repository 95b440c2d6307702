"""Workspaces that tune, of every kind, and the Job of each: ``golden`` holds it, one file for each.

``python -m tests.unit.functions.tuning.matrix`` writes those files anew, for a person to read the difference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from functions.tuning.observed import Observed
from functions.tuning.render import render
from functions.tuning.settings import Settings
from functions.tuning.work import Work, work
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from tests.golden import shown, write
from tests.unit.functions.tuning.scenes import CATALOGUE, SETTINGS, workspace

GOLDEN: Final = Path(__file__).parent / "golden"
#: How the names of scenes begin where the kubelets mount no images, where data may come from private addresses, and
#: where an installation says whom to trust.
PULLED, PRIVATE_URLS, TRUSTING = "pulled", "private-urls", "trusting"
_POEMS: Final = {"image": "example.com/poems:1", "imagePullSecrets": ["mine"]}
_WEIGHTS: Final = {
    "name": "mistral-7b",
    "accessMode": "private",
    "presetOptions": {"image": "example.com/weights:1", "imagePullSecrets": ["weights", "mine"]},
}
_FROM_CLAIM: Final = {"volumeSource": {"persistentVolumeClaim": {"claimName": "poems"}}}
_TO_CLAIM: Final = {"volumeSource": {"persistentVolumeClaim": {"claimName": "adapters"}}}

SCENES: Final[dict[str, Object]] = {
    "urls-to-image": workspace(),
    "image-to-image": workspace("Standard_NC24ads_A100_v4", preset=_WEIGHTS, source=_POEMS),
    "volume-to-volume": workspace(source=_FROM_CLAIM, output=_TO_CLAIM),
    "urls-to-volume-on-gpus": workspace(
        "Standard_NC96ads_A100_v4", preset={"name": "phi-3-mini-4k-instruct"}, output=_TO_CLAIM, method="QLoRA"
    ),
    "urls-to-image-on-brought-node": workspace("", preset={"name": "phi-3-mini-4k-instruct"}),
    "pulled-image-to-image": workspace("Standard_NC24ads_A100_v4", preset=_WEIGHTS, source=_POEMS),
    "pulled-urls-to-image": workspace(),
    "private-urls-to-image": workspace(),
    "trusting-urls-to-image": workspace(),
}


def rendered(scene: str) -> Object:
    """The Job of that scene's Workspace."""
    settings = replace(
        SETTINGS,
        image_volumes=not scene.startswith(PULLED),
        private_urls=scene.startswith(PRIVATE_URLS),
        trust_bundle="trusted" if scene.startswith(TRUSTING) else "",
    )
    return made(SCENES[scene], settings)


def made(obj: Object, settings: Settings = SETTINGS) -> Object:
    """The Job of the Workspace, where it can be had."""
    parsed = Workspace.model_validate(obj)
    asked = work(Observed(obj), parsed, CATALOGUE, settings)
    assert isinstance(asked, Work), asked
    return render(parsed, asked, settings)


def text(scene: str) -> str:
    return shown([rendered(scene)])


if __name__ == "__main__":
    write(GOLDEN, SCENES, text)
