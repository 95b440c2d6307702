"""The Knative Service of a preset: that it runs under "restricted", and where it may write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import presets
from functions.workspace.render import HOME, inference_service
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from kaito.embedded.knative.admission import refusals, unsupported

ROOT = Path(__file__).parents[4]
DOCKERFILE = ROOT / "serving" / "Dockerfile"
FEATURES = ROOT / "config" / "knative" / "features.yaml"
CATALOGUE = presets.load()


def rendered(preset: str, instance_type: str) -> Object:
    workspace = Workspace.model_validate(
        {
            "apiVersion": "kaito.sh/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "it", "namespace": "default", "uid": "u"},
            "resource": {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": "it"}}},
            "inference": {"preset": {"name": preset}},
        }
    )
    model, sku = CATALOGUE.model(preset), CATALOGUE.sku(instance_type)
    assert model is not None
    assert sku is not None
    return inference_service(workspace, model, sku, "kaito/serving:0.1.0")


SERVICES = pytest.mark.parametrize(
    ("preset", "instance_type"),
    [("smollm2-135m-instruct", "Standard_D4s_v5"), ("phi-3-mini-4k-instruct", "Standard_NC6s_v3")],
)


@SERVICES
def test_knative_and_the_embedded_platform_take_it(preset: str, instance_type: str) -> None:
    service = rendered(preset, instance_type)
    enabled = {flag for flag, value in yaml.safe_load(FEATURES.read_text())["data"].items() if value == "enabled"}
    assert refusals(service, frozenset(enabled)) == []
    assert unsupported(service) == []


@SERVICES
def test_it_fits_the_restricted_profile_and_writes_to_its_volumes_only(preset: str, instance_type: str) -> None:
    spec = rendered(preset, instance_type)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    empty = {volume["name"] for volume in spec["volumes"] if "emptyDir" in volume}
    assert {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == empty
    assert HOME in {mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in empty}


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_the_image_writes_where_the_service_lets_it(variable: str) -> None:
    assert re.findall(rf"\b{variable}=(\S+)", DOCKERFILE.read_text()) == [HOME]
