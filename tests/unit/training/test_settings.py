"""What a training_config.yaml may say, and the sentence about what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.tiny import config
from training.failure import TuningError
from training.settings import Settings, read

TEMPLATES = Path(__file__).parents[3] / "functions" / "tuning" / "templates"


def given(folder: Path, text: str, method: Any = "lora") -> Settings:
    (folder / "config.yaml").write_text(text)
    return read(folder / "config.yaml", method)


def test_every_section_is_taken(tmp_path: Path) -> None:
    found = given(
        tmp_path,
        config(
            "qlora",
            model={"torch_dtype": "bfloat16", "attn_implementation": "eager"},
            quantization={"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"},
            lora={"lora_dropout": 0.1},
            arguments={"output_dir": "/mnt/here", "num_train_epochs": 2},
            dataset={"completion_only_loss": True, "max_length": 16},
            collator={"mlm": False, "pad_to_multiple_of": 8},
        ),
        "qlora",
    )
    assert (found.model.torch_dtype, found.model.attn_implementation) == ("bfloat16", "eager")
    assert found.quantization["bnb_4bit_quant_type"] == "nf4"
    assert found.lora["lora_dropout"] == 0.1
    assert (found.arguments["num_train_epochs"], found.output) == (2, Path("/mnt/here"))
    assert (found.dataset.completion_only_loss, found.dataset.max_length) == (True, 16)
    assert found.collator.pad_to_multiple_of == 8


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_installations_own_are_taken(tmp_path: Path, method: str) -> None:
    found = given(tmp_path, (TEMPLATES / f"{method}.yaml").read_text(), method)
    assert found.output == Path("/mnt/results")


def test_all_tokens_are_learned_by_default(tmp_path: Path) -> None:
    found = given(tmp_path, "training_config: {}")
    assert not found.dataset.completion_only_loss
    assert found.dataset.train_test_split == 1


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"model": {"torch_dtyp": "auto"}}, "ModelConfig in .* has no torch_dtyp: did you mean torch_dtype"),
        ({"quantization": {"load_in_2bit": False}}, "QuantizationConfig in .* has no load_in_2bit: did you mean load"),
        ({"quantization": {"quant_method": "x"}}, "QuantizationConfig in training_config.yaml has no quant_method"),
        ({"lora": {"lora_alhpa": 4}}, "LoraConfig in training_config.yaml has no lora_alhpa: did you mean lora_alpha?"),
        ({"arguments": {"learnin_rate": 1}}, "TrainingArguments in .* has no learnin_rate: did you mean learning_rate"),
        ({"arguments": {"hub_token": "x"}}, "TrainingArguments in training_config.yaml has no hub_token"),
        ({"dataset": {"shuffle": True}}, "DatasetConfig in training_config.yaml has no shuffle: did you mean shuffle_"),
        ({"collator": {"zzz": 1}}, "DataCollator in .* has no zzz: it has mlm, mlm_probability, pad_to_multiple_of"),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_told_with_one_that_is(tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(TuningError, match=said) as caught:
        given(tmp_path, config(**sections))
    assert caught.value.reason == "ConfigInvalid"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"model": {"trust_remote_code": True}}, "ModelConfig.trust_remote_code is true, and code from weights"),
        ({"lora": {"r": "many"}}, "LoraConfig.r is 'many': Input should be a valid integer"),
        ({"lora": ["r"]}, None),
        ({"arguments": {"num_train_epochs": "three"}}, "TrainingArguments.num_train_epochs is 'three': Input should"),
        ({"arguments": {"learning_rate": None}}, "TrainingArguments.learning_rate is None: Input should be a valid"),
        ({"arguments": {"output_dir": "/etc"}}, "TrainingArguments.output_dir is /etc; it must be a directory"),
        ({"dataset": {"train_test_split": 0}}, "DatasetConfig.train_test_split: Input should be greater than 0"),
        ({"dataset": {"max_length": 2}}, "DatasetConfig.max_length: Input should be greater than or equal to 8"),
        ({"dataset": {"context_column": "q"}}, "DatasetConfig: context_column goes with response_column"),
        ({"dataset": {"messages_column": "m", "response_column": "a"}}, "DatasetConfig: give messages_column, or"),
        ({"collator": {"pad_to_multiple_of": 0}}, "DataCollator.pad_to_multiple_of: Input should be greater than or"),
        ({"quantization": {"load_in_4bit": True}}, "method lora loads the weights as they are"),
    ],
)  # fmt: skip
def test_a_value_that_is_wrong_is_told(tmp_path: Path, sections: dict[str, Any], said: str | None) -> None:
    text = config(**sections) if said else "training_config: {LoraConfig: [r]}"
    with pytest.raises(TuningError, match=said or "LoraConfig in .* is .*; it must be a map NAME: VALUE"):
        given(tmp_path, text)


def test_numbers_that_yaml_takes_for_texts_are_numbers(tmp_path: Path) -> None:
    found = given(tmp_path, "training_config: {TrainingArguments: {learning_rate: 2e-4, bf16: 'false'}}")
    assert (found.arguments["learning_rate"], found.arguments["bf16"]) == (0.0002, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "holds no map training_config"),
        ("a: b: c", "is not YAML"),
        ("training_config: {Lora: {}}", "has no Lora"),
    ],
)
def test_what_is_no_configuration_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TuningError, match=said):
        given(tmp_path, text)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match=r"none.yaml cannot be read"):
        read(tmp_path / "none.yaml", "lora")


def test_the_output_that_is_given_goes_before_the_configurations(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(config(arguments={"output_dir": "/mnt/there"}))
    assert read(tmp_path / "config.yaml", "lora", tmp_path).output == tmp_path
