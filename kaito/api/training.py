"""The key ``training_config.yaml`` of a tuning ConfigMap: its sections, and the rules that need no model to be checked.

Sections, names and defaults are the reference operator's. What stands in a section is its library's own: transformers'
TrainingArguments and BitsAndBytesConfig, PEFT's LoraConfig; the tuning image checks those names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import yaml

CONFIG_FILE: Final = "training_config.yaml"
SECTIONS: Final = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DatasetConfig",
    "DataCollator",
)
#: Where results may go, and where they go by default.
ROOT: Final = PurePosixPath("/mnt")
OUTPUT: Final = "/mnt/results"
#: What else a pod that tunes has there, where nothing else can be.
TAKEN: Final = ("config", "data", "model", "push-secret")
#: So many names are told; a person reads no more.
_FEW: Final = 20
Method = Literal["lora", "qlora"]
Section = Mapping[str, Any]


class TrainingConfigError(Exception):
    """The message is a sentence about the ConfigMap's content."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A section each, as it is written: what is left out has its library's default."""

    model: Section = field(default_factory=dict)
    quantization: Section = field(default_factory=dict)
    lora: Section = field(default_factory=dict)
    arguments: Section = field(default_factory=dict)
    dataset: Section = field(default_factory=dict)
    collator: Section = field(default_factory=dict)

    @property
    def output(self) -> PurePosixPath:
        """The directory of checkpoints and results."""
        return PurePosixPath(str(self.arguments.get("output_dir", OUTPUT)))


def training_config(text: str, method: Method) -> TrainingConfig:
    """Read it. Raises TrainingConfigError."""
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise TrainingConfigError(f"{CONFIG_FILE} is not YAML: {where}") from error
    if not isinstance(content, dict) or not isinstance(content.get("training_config"), dict):
        raise TrainingConfigError(f"{CONFIG_FILE} holds no map training_config, with sections {', '.join(SECTIONS)}")
    _known("training_config", content["training_config"], SECTIONS)
    sections = {name: given or {} for name, given in content["training_config"].items()}
    for name, given in sections.items():
        if not isinstance(given, dict):
            raise TrainingConfigError(f"{name} in {CONFIG_FILE} is {given!r}; it must be a map NAME: VALUE")
    config = TrainingConfig(*(sections.get(name, {}) for name in SECTIONS))
    _check_quantization(config.quantization, method)
    _check_output(config.output)
    return config


def _known(where: str, given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise TrainingConfigError(unknown(where, str(name), names))


def unknown(where: str, name: str, names: tuple[str, ...]) -> str:
    """The sentence about a name that is none."""
    alike = get_close_matches(name, names, n=1)
    known = f"it has {', '.join(names)}" if len(names) <= _FEW else f"its library has {len(names)} others"
    hint = f"did you mean {alike[0]}?" if alike else known
    return f"{where} in {CONFIG_FILE} has no {name}: {hint}"


def _check_quantization(given: Section, method: Method) -> None:
    bits = {name: given.get(name) for name in ("load_in_4bit", "load_in_8bit")}
    for name, value in bits.items():
        if value is not None and not isinstance(value, bool):
            raise TrainingConfigError(f"QuantizationConfig.{name} is {value!r}; it must be true or false")
    if all(bits.values()):
        raise TrainingConfigError("QuantizationConfig: load_in_4bit and load_in_8bit are both true; set one to false")
    if method == "lora" and any(bits.values()):
        raise TrainingConfigError(
            "QuantizationConfig: method lora loads the weights as they are; use qlora, or set"
            " load_in_4bit and load_in_8bit to false"
        )
    if method == "qlora" and not any(bits.values()):
        raise TrainingConfigError("QuantizationConfig: method qlora needs load_in_4bit or load_in_8bit: true")


def _check_output(output: PurePosixPath) -> None:
    if ".." in output.parts or ROOT not in output.parents or output.relative_to(ROOT).parts[0] in TAKEN:
        raise TrainingConfigError(
            f"TrainingArguments.output_dir is {output}; it must be a directory below {ROOT} that is not"
            f" {' or '.join(TAKEN)}"
        )
