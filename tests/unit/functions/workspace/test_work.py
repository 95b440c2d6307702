"""What is asked to be run, and what stands against it."""

from __future__ import annotations

from typing import Any

import pytest

from functions.workspace.observed import Observed
from functions.workspace.work import Work, work
from kaito.api.refusal import Refusal
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from tests.unit.functions.workspace.matrix import CATALOGUE, preset, private, workspace

PHI = preset("phi-3-mini-4k-instruct", config="mine")
TO_ZERO, BALANCED = {"kaito.sh/scale-to-zero": "true"}, {"kaito.sh/enablelb": "True"}


def asked(obj: Object, config: Object | None = None) -> Work | Refusal:
    return work(Observed(obj, config=config), Workspace.model_validate(obj), CATALOGUE)


def named(name: str, obj: Object) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "name": name}}


def template(*containers: Any) -> Object:
    return workspace("Standard_NC6s_v3", {"template": {"spec": {"containers": list(containers)}}})


def settings(text: str) -> Object:
    return {"data": {"inference_config.yaml": text}}


@pytest.mark.parametrize(
    ("config", "reason", "words"),
    [
        (None, "ConfigMissing", "names the ConfigMap mine, and there is none here"),
        ({"metadata": {}}, "ConfigInvalid", "has no key inference_config.yaml"),
        (settings("a: ["), "ConfigInvalid", "is not YAML"),
        (settings("- a"), "ConfigInvalid", "holds no settings"),
    ],
)
def test_a_config_that_is_not_there_is_looked_for(config: Object | None, reason: str, words: str) -> None:
    found = asked(workspace("Standard_NC6s_v3", PHI), config)
    assert isinstance(found, Refusal)
    assert (found.reason, found.curable) == (reason, True)
    assert words in found.message


def test_a_config_is_passed_on_as_it_is() -> None:
    found = asked(workspace("Standard_NC6s_v3", PHI), settings("vllm: {}\n"))
    assert isinstance(found, Work)
    assert found.config == "vllm: {}\n"


GANG = workspace("Standard_D4s_v5", preset("smollm2-135m-instruct"), count=2)
ALONE = workspace("Standard_D4s_v5", preset("smollm2-135m-instruct"), annotations=BALANCED)


@pytest.mark.parametrize(
    ("obj", "reason", "words"),
    [
        (template("x"), "TemplateInvalid", "spec.containers.0"),
        (template(), "TemplateInvalid", "spec.containers"),
        (template({"name": "a"}), "TemplateInvalid", "spec.containers.0.image"),
        (
            template({"image": "a", "resources": {"limits": {"nvidia.com/gpu": "1k"}}}),
            "TemplateInvalid",
            "nvidia.com/gpu is a whole number",
        ),
        (
            workspace("Standard_D4s_v5", preset("smollm2-135m-instruct"), count=2, annotations=TO_ZERO),
            "ScaleToZeroNotPossible",
            "which Knative does not scale",
        ),
        (
            workspace("Standard_D4s_v5", preset("smollm2-135m-instruct"), annotations={**TO_ZERO, **BALANCED}),
            "ScaleToZeroNotPossible",
            "a load balancer goes past Knative",
        ),
        (
            {**GANG, "inference": {**GANG["inference"], "adapters": [{"source": {"name": "a", "image": "a:1"}}]}},
            "AdaptersNotPossible",
            "leave out inference.adapters",
        ),
        (named("n" * 53, GANG), "NameTooLong", "at most 52"),
        (named("n" * 61, ALONE), "NameTooLong", "at most 60"),
    ],
)
def test_what_nothing_carries_is_refused(obj: Object, reason: str, words: str) -> None:
    found = asked(obj)
    assert isinstance(found, Refusal)
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize("obj", [named("n" * 52, GANG), named("n" * 60, ALONE)], ids=["gang", "balanced"])
def test_names_may_be_as_long_as_what_they_name_lets_them(obj: Object) -> None:
    assert isinstance(asked(obj), Work)


@pytest.mark.parametrize(
    ("obj", "gpus"),
    [
        (workspace("", private("llama-2-70b"), count=2), 4),
        (workspace("", private("llama-2-7b")), 1),
        (workspace("", preset("smollm2-135m-instruct")), 0),
        (
            workspace(
                "",
                {
                    "template": {
                        "spec": {"containers": [{"image": "a", "resources": {"limits": {"nvidia.com/gpu": 2}}}]}
                    }
                },
            ),
            2,
        ),
    ],
    ids=["gang", "one", "none", "template"],
)
def test_brought_nodes_need_what_the_work_needs(obj: Object, gpus: int) -> None:
    found = asked(obj)
    assert isinstance(found, Work)
    assert found.sku.gpus == gpus


def test_only_presets_that_need_several_processes_are_gangs() -> None:
    def gang(obj: Object) -> bool:
        found = asked(obj)
        assert isinstance(found, Work)
        return found.gang

    assert gang(GANG)
    assert gang(workspace("Standard_NC24ads_A100_v4", private("llama-2-7b"))) is False
    assert gang(workspace("Standard_ND96asr_v4", private("llama-2-70b")))
    assert gang({**template({"image": "a"}), "resource": {**template()["resource"], "count": 2}}) is False
