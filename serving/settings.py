"""The settings file: ``inference_config.yaml`` of the ConfigMap that a Workspace's inference.config names.

Its section ``transformers`` is ours. The reference operator's files have others, ``vllm`` and ``max_probe_steps``, for
a runtime that this is not: they are named in the log and left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from serving.adapters import Combination
from serving.backends.torch import Quantization
from serving.chat import GenerateOptions
from serving.engine import ModelError, first_line

_log = structlog.get_logger()
_SECTION = "transformers"


class Settings(BaseModel):
    """What the file may say; None is what the flags say. ``generate_kwargs`` are what a request does not name.

    ``quantization``: of the weights, by bitsandbytes. ``adapters``: in the model's weights, or beside them, for
    requests to choose one. ``combination_type`` and ``density`` are PEFT's, for merging.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    torch_dtype: Literal["auto", "float32", "float16", "bfloat16"] | None = None
    quantization: Quantization | None = None
    pipeline: Literal["text-generation", "conversational"] | None = None
    generate_kwargs: GenerateOptions = GenerateOptions()
    adapters: Literal["merged", "per-request"] = "merged"
    combination_type: Combination | None = None
    density: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _merges_what_it_combines(self) -> Self:
        if self.combination_type and self.adapters == "per-request":
            said = "combination_type makes one adapter of all; leave it out, or have adapters: merged"
            raise PydanticCustomError("ambiguous", "{said}", {"said": said})
        return self


def read(file: Path) -> Settings:
    """Read the file; raises ModelError with what is wrong with it and what is known."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"{file} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} holds no settings; it needs a section such as {_SECTION}: {{torch_dtype: bfloat16}}")
    if others := sorted(str(name) for name in content if name != _SECTION):
        _log.warning("settings.ignored", sections=others, note=f"only {_SECTION} is for this runtime")
    try:
        return Settings.model_validate(content.get(_SECTION) or {})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in (_SECTION, *problem["loc"]))
        known = GenerateOptions if "generate_kwargs" in problem["loc"] else Settings
        raise ModelError(f"{file}: {where}: {problem['msg']}; known are {', '.join(known.model_fields)}") from error
