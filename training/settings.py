"""A training configuration with its sections' names checked, as the libraries take it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from kaito.api.training import Method, Section, TrainingConfig, TrainingConfigError, training_config, unknown
from training.failure import TuningError, first_line

#: What is ours to say, or goes to other hosts.
_OURS: Final = ("hub_token", "hub_model_id", "push_to_hub", "report_to", "local_rank", "deepspeed", "fsdp")
#: Kinds of values that are checked here; YAML takes 2e-4 for a text.
_NUMBERS: Final = (bool, int, float, bool | None, int | None, float | None)


class ModelSection(BaseModel):
    """ModelConfig: how the weights are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    torch_dtype: str = "auto"
    local_files_only: bool = True
    device_map: str | Mapping[str, Any] = "auto"
    attn_implementation: str = "sdpa"
    chat_template: str | None = None  # a file, in the place of the model's own
    trust_remote_code: bool = False


class DatasetSection(BaseModel):
    """DatasetConfig: which data, and how they are read. ``train_test_split`` is the share that is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset_path: str | None = None
    dataset_extension: str | None = None
    shuffle_dataset: bool = True
    shuffle_seed: int = 42
    train_test_split: float = Field(1.0, gt=0, le=1)
    messages_column: str | None = None
    context_column: str | None = None
    response_column: str | None = None
    completion_only_loss: bool = False
    max_length: int | None = Field(None, ge=8)

    @model_validator(mode="after")
    def _columns_go_together(self) -> DatasetSection:
        if self.context_column and not self.response_column:
            raise ValueError("context_column goes with response_column")
        if self.messages_column and self.response_column:
            raise ValueError("give messages_column, or response_column and context_column, not both")
        return self


class CollatorSection(BaseModel):
    """DataCollator. ``mlm`` is taken as the reference's templates have it, and does nothing: a causal model learns the
    next token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mlm: bool = False
    mlm_probability: float = 0.15
    pad_to_multiple_of: int | None = Field(None, ge=1)


_Section = TypeVar("_Section", bound=BaseModel)
_Built = TypeVar("_Built")


@dataclass(frozen=True, slots=True)
class Settings:
    """``quantization``, ``lora`` and ``arguments`` are keyword arguments of their libraries' classes."""

    model: ModelSection
    dataset: DatasetSection
    collator: CollatorSection
    quantization: Section
    lora: Section
    arguments: Section
    output: Path


def read(file: Path, method: Method, output: Path | None = None) -> Settings:
    """The configuration in ``file``; ``output`` goes before its output_dir. Raises TuningError."""
    try:
        return _settings(training_config(file.read_text(), method), output)
    except OSError as error:
        raise TuningError("ConfigInvalid", f"{file} cannot be read: {error}") from error
    except TrainingConfigError as error:
        said = str(error)
        raise TuningError("ConfigInvalid", said if said.endswith("?") else f"{said}.") from error


def _settings(given: TrainingConfig, output: Path | None) -> Settings:
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, TrainingArguments

    _, *bits, _ = inspect.signature(BitsAndBytesConfig.__init__).parameters
    _check("QuantizationConfig", given.quantization, tuple(bits))
    _check("LoraConfig", given.lora, _fields(LoraConfig))
    _check("TrainingArguments", given.arguments, tuple(it for it in _fields(TrainingArguments) if it not in _OURS))
    model = _section(ModelSection, "ModelConfig", given.model)
    if model.trust_remote_code:
        raise TrainingConfigError("ModelConfig.trust_remote_code is true, and code from weights is not run here")
    return Settings(
        model,
        _section(DatasetSection, "DatasetConfig", given.dataset),
        _section(CollatorSection, "DataCollator", given.collator),
        given.quantization,
        _numbers("LoraConfig", LoraConfig, given.lora),
        _numbers("TrainingArguments", TrainingArguments, given.arguments),
        output or Path(given.output),
    )


def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _check(section: str, given: Section, names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise TrainingConfigError(unknown(section, str(name), names))


def _numbers(section: str, kind: type[Any], given: Section) -> Section:
    """With what is to be a number or a truth value as one: the library does not look."""
    hints, made = get_type_hints(kind), dict(given)
    for name, value in given.items():
        if hints[name] in _NUMBERS:
            try:
                made[name] = TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]["msg"]
                raise TrainingConfigError(f"{section}.{name} is {value!r}: {problem}") from error
    return made


def _section(kind: type[_Section], name: str, given: Section) -> _Section:
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        raise TrainingConfigError(unknown(name, key, tuple(kind.model_fields)))
    raise TrainingConfigError(f"{name}{'.' if key else ''}{key}: {problem['msg'].removeprefix('Value error, ')}")


def built(section: str, kind: type[_Built], values: Mapping[str, Any]) -> _Built:
    """A library's object of a section's values. Raises TuningError where they are not what it takes."""
    try:
        return kind(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise TuningError("ConfigInvalid", f"{section} in the training config: {first_line(error)}.") from error
