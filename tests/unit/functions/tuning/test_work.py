"""What is asked to be tuned, and what stands against it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from functions.tuning.observed import Observed
from functions.tuning.settings import Settings
from functions.tuning.work import Work, config_map, work
from kaito.api.refusal import Refusal
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from tests.unit.functions.tuning.scenes import CATALOGUE, LORA, SETTINGS, config, workspace


def asked(obj: Object, found: Object | None = None, settings: Settings = SETTINGS) -> Work | Refusal | None:
    return work(Observed(obj, config=found), Workspace.model_validate(obj), CATALOGUE, settings)


def wanted(obj: Object, found: Object | None = None, settings: Settings = SETTINGS) -> Work:
    it = asked(obj, found, settings)
    assert isinstance(it, Work)
    return it


@pytest.mark.parametrize(
    ("method", "named", "name"),
    [
        ("lora", "", "lora-params-template"),
        ("QLoRA", "", "qlora-params-template"),
        ("lora", "mine", "mine"),
    ],
)
def test_the_config_is_the_methods_where_none_is_named(method: str, named: str, name: str) -> None:
    obj = workspace(method=method, config=named)
    assert config_map(Workspace.model_validate(obj)) == name


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_method_has_the_installations_config(method: str) -> None:
    it = wanted(workspace(method=method.upper()))
    assert (it.method, it.text) == (method, SETTINGS.templates[method])


def test_what_is_there_under_the_templates_name_goes_before_it() -> None:
    text = LORA.replace("r: 8", "r: 4")
    it = wanted(workspace(), config(text))
    assert (it.text, it.config.lora["r"]) == (text, 4)


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, "ConfigMissing", "tuning.config names the ConfigMap mine, and there is none here"),
        ({"metadata": {}}, "ConfigInvalid", "the ConfigMap mine of tuning.config has no key training_config.yaml"),
        (config("a: ["), "ConfigInvalid", "the ConfigMap mine of tuning.config: training_config.yaml is not YAML"),
        (config("a: 1"), "ConfigInvalid", "holds no map training_config"),
        (config(LORA.replace("/mnt/results", "/mnt/data")), "ConfigInvalid", "output_dir is /mnt/data"),
    ],
)
def test_a_config_that_cannot_be_had_is_looked_for(found: Object | None, reason: str, words: str) -> None:
    it = asked(workspace(config="mine"), found)
    assert isinstance(it, Refusal)
    assert (it.reason, it.curable) == (reason, True)
    assert words in it.message


@pytest.mark.parametrize(
    "obj",
    [
        workspace(preset={"name": "phi"}),
        workspace(preset={"name": "llama-2-13b-chat"}),
        workspace("gpu-box"),
    ],
    ids=["no model", "not tunable", "no instance type"],
)
def test_what_the_catalogue_has_not_is_the_workspace_functions_to_refuse(obj: Object) -> None:
    assert asked(obj) is None


@pytest.mark.parametrize(
    ("instance_type", "preset", "gpus"),
    [
        ("Standard_NC96ads_A100_v4", "phi-3-mini-4k-instruct", 4),
        ("Standard_NC96ads_A100_v4", "smollm2-135m-instruct", 0),
        ("Standard_D4s_v5", "smollm2-135m-instruct", 0),
        ("", "phi-3-mini-4k-instruct", 1),
        ("", "smollm2-135m-instruct", 0),
    ],
)
def test_all_gpus_of_a_node_work_where_the_model_needs_any(instance_type: str, preset: str, gpus: int) -> None:
    assert wanted(workspace(instance_type, preset={"name": preset})).gpus == gpus


def test_another_wish_or_another_config_is_another_tuning() -> None:
    digests = [
        wanted(obj, found).digest
        for obj, found in (
            (workspace(), None),
            (workspace(), config(LORA + "# mine\n")),
            (workspace(method="qlora"), None),
            (workspace(source={"urls": ["https://example.com/other.jsonl"]}), None),
            (workspace(output={"image": "example.com/poems:2", "imagePushSecret": "push"}), None),
        )
    ]
    assert len(set(digests)) == len(digests)


def test_the_digest_is_of_nothing_that_the_adapter_does_not_depend_on() -> None:
    obj = workspace()
    moved = copy.deepcopy(obj)
    moved["metadata"]["annotations"] = {"a": "b"}
    moved["resource"]["preferredNodes"] = ["n2"]
    released = replace(SETTINGS, training_image="other:2")
    digests = {wanted(obj).digest, wanted(moved).digest, wanted(obj, settings=released).digest}
    digests.add(wanted(obj, config()).digest)
    assert len(digests) == 1
