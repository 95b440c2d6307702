"""What a training_config.yaml may say, and the sentence about what it may not."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
import yaml

from kaito.api.training import SECTIONS, Method, TrainingConfig, TrainingConfigError, training_config, unknown

TEMPLATES = Path(__file__).parents[4] / "functions" / "tuning" / "templates"
FOUR_BITS = {"QuantizationConfig": {"load_in_4bit": True}}


def text(**sections: object) -> str:
    return yaml.safe_dump({"training_config": sections})


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_installed_templates_have_all_sections(method: Method) -> None:
    content = (TEMPLATES / f"{method}.yaml").read_text()
    assert set(yaml.safe_load(content)["training_config"]) == set(SECTIONS)
    config = training_config(content, method)
    assert config.lora["r"] == 8
    assert config.quantization["load_in_4bit"] is (method == "qlora")
    assert config.output == PurePosixPath("/mnt/results")


def test_each_section_is_passed_on_as_it_is() -> None:
    sections = {name: {"name": name} for name in SECTIONS}
    assert training_config(text(**sections), "lora") == TrainingConfig(*(sections[name] for name in SECTIONS))


def test_what_is_left_out_or_empty_has_its_librarys_defaults() -> None:
    assert training_config("training_config: {}", "lora") == TrainingConfig()
    assert training_config("training_config:\n  LoraConfig:\n", "lora") == TrainingConfig()


@pytest.mark.parametrize(
    ("content", "method", "said"),
    [
        ("a: [", "lora", "training_config.yaml is not YAML: while parsing"),
        ("", "lora", "holds no map training_config, with sections ModelConfig, QuantizationConfig"),
        ("- a", "lora", "holds no map training_config"),
        ("training_config: 1", "lora", "holds no map training_config"),
        (text(LoraConfigs={}), "lora", "training_config.yaml has no LoraConfigs: did you mean LoraConfig"),
        ("training_config: {1: {}}", "lora", "has no 1: it has ModelConfig"),
        (text(LoraConfig=[1]), "lora", r"LoraConfig in training_config.yaml is \[1\]; it must be a map NAME: VALUE"),
        (text(QuantizationConfig={"load_in_4bit": "yes"}), "qlora", "load_in_4bit is 'yes'; it must be true or false"),
        (text(QuantizationConfig={"load_in_8bit": 1}), "qlora", "load_in_8bit is 1; it must be true or false"),
        (
            text(QuantizationConfig={"load_in_4bit": True, "load_in_8bit": True}),
            "qlora",
            "load_in_4bit and load_in_8bit are both true; set one to false",
        ),
        (text(**FOUR_BITS), "lora", "method lora loads the weights as they are; use qlora"),
        (text(), "qlora", "method qlora needs load_in_4bit or load_in_8bit: true"),
        (text(QuantizationConfig={"load_in_4bit": False}), "qlora", "method qlora needs load_in_4bit or load_in_8bit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(content: str, method: Method, said: str) -> None:
    with pytest.raises(TrainingConfigError, match=said):
        training_config(content, method)


def test_a_sentence_has_one_line() -> None:
    with pytest.raises(TrainingConfigError) as caught:
        training_config("a: [\nb", "lora")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "/mnt/results"),
        ({"output_dir": "/mnt/output"}, "/mnt/output"),
        ({"output_dir": "/mnt/results/poems/"}, "/mnt/results/poems"),
        ({"output_dir": "/mnt/database"}, "/mnt/database"),
    ],
)
def test_results_go_below_mnt(given: dict[str, str], expected: str) -> None:
    assert training_config(text(TrainingArguments=given), "lora").output == PurePosixPath(expected)


@pytest.mark.parametrize(
    "output",
    ["/mnt", "/", "results", "/home/kaito", "/mnt/../etc", "/mnt/a/../../etc", None, 1,
     "/mnt/data", "/mnt/data/poems", "/mnt/model", "/mnt/config/", "/mnt/push-secret"],
)  # fmt: skip
def test_results_go_nowhere_else(output: object) -> None:
    with pytest.raises(TrainingConfigError, match="it must be a directory below /mnt that is not config or data"):
        training_config(text(TrainingArguments={"output_dir": output}), "lora")


def test_a_name_that_is_none_is_told_with_the_one_that_may_be_meant() -> None:
    assert unknown("S", "rang", ("rank", "alpha")) == "S in training_config.yaml has no rang: did you mean rank?"
    assert unknown("S", "x", ("rank", "alpha")) == "S in training_config.yaml has no x: it has rank, alpha"
    many = tuple(f"name{number}" for number in range(21))
    assert unknown("S", "x", many) == "S in training_config.yaml has no x: its library has 21 others"
