"""The settings file: ``inference_config.yaml`` of the ConfigMap that a Workspace's inference.config names.

Its section ``transformers`` is ours. The reference operator's files have others, ``vllm`` and ``max_probe_steps``, for
a runtime that this is not: they are named in the log and left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from serving.chat import GenerateOptions
from serving.engine import ModelError, first_line

_log = structlog.get_logger()
_SECTION = "transformers"


class Settings(BaseModel):
    """What the file may say; None is what the flags say. ``generate_kwargs`` are what a request does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    torch_dtype: Literal["auto", "float32", "float16", "bfloat16"] | None = None
    pipeline: Literal["text-generation", "conversational"] | None = None
    generate_kwargs: GenerateOptions = GenerateOptions()


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
