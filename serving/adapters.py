"""Adapters: what a fine-tuning has learned, added to a model's weights in a strength, before it serves.

The reference operator mixes them with PEFT's add_weighted_adapter, whose default ("svd") comes as near to the weighted
sum of their changes as one adapter of the largest rank can. Here each change is merged into the weights in turn, which
is that sum itself, and costs nothing when a token is generated.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from serving.engine import ModelError, first_line

_CONFIG: Final = "adapter_config.json"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Adapter:
    """``folder`` holds what PEFT saved, or has it in its folder ``data``, as the images of a tuning do."""

    folder: Path
    strength: float


def parse(text: str) -> Adapter:
    """``PATH=STRENGTH``, for argparse."""
    path, _, number = text.rpartition("=")
    try:
        strength = float(number)
    except ValueError:
        strength = -1.0
    if not path or not 0 <= strength <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not PATH=STRENGTH, the strength from 0.0 to 1.0")
    return Adapter(Path(path), strength)


def merge(model: Any, adapters: Sequence[Adapter]) -> Any:
    """The transformers model with all of them in its weights. Raises ModelError."""
    for adapter in adapters:
        model = _merge(model, adapter)
        _log.info("adapter.merged", adapter=adapter.folder.name, strength=adapter.strength)
    return model


def _merge(model: Any, adapter: Adapter) -> Any:
    from peft import PeftModel
    from peft.helpers import rescale_adapter_scale
    from safetensors import SafetensorError

    folder = next((it for it in (adapter.folder, adapter.folder / "data") if (it / _CONFIG).is_file()), None)
    if folder is None:
        raise ModelError(f"no adapter in {adapter.folder}: neither it nor its folder data has {_CONFIG}")
    try:
        with warnings.catch_warnings():
            # Of an adapter for another model: PEFT would go on without what it does not find.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            tuned = PeftModel.from_pretrained(model, str(folder))
        if adapter.strength == 1:
            return tuned.merge_and_unload(safe_merge=True)
        with rescale_adapter_scale(tuned, adapter.strength):
            return tuned.merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, UserWarning, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} does not go with this model: {first_line(error)}") from error
