"""Adapters: what a fine-tuning has learned, added to a model in a strength.

They are merged into the weights before the model serves, or stay apart, and a request chooses one by the name of its
folder.

The reference operator mixes them with PEFT's add_weighted_adapter, whose default ("svd") comes as near to the weighted
sum of their changes as one adapter of the largest rank can. Here each change is merged into the weights in turn, which
is that sum itself, unless a combination_type of PEFT's is asked for.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from serving.engine import ModelError, first_line

CONFIG: Final = "adapter_config.json"
Combination = Literal[
    "svd", "linear", "cat", "ties", "ties_svd", "dare_ties", "dare_linear", "dare_ties_svd", "dare_linear_svd",
    "magnitude_prune", "magnitude_prune_svd",
]  # fmt: skip
_COMBINED: Final = "combined"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Adapter:
    """``folder`` holds what PEFT saved, or has it in its folder ``data``, as the images of a tuning do."""

    folder: Path
    strength: float

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def saved(self) -> Path:
        """Where PEFT's files are. Raises ModelError."""
        for folder in (self.folder, self.folder / "data"):
            if (folder / CONFIG).is_file():
                return folder
        raise ModelError(f"no adapter in {self.folder}: neither it nor its folder data has {CONFIG}")


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


def named(adapters: Sequence[Adapter], taken: Collection[str]) -> list[str]:
    """What requests call them. Raises ModelError where two, or one and the model, would have the same name."""
    names = [adapter.name for adapter in adapters]
    for number, name in enumerate(names):
        if name in taken or name in names[:number]:
            raise ModelError(f"adapters are chosen by name, and {name} is the name of two: give one's folder another")
    return names


def merge(model: Any, adapters: Sequence[Adapter], how: Combination | None = None, density: float | None = None) -> Any:
    """The transformers model with all of them in its weights. Raises ModelError."""
    if how is None:
        for adapter in adapters:
            model = _merge(model, adapter)
            _log.info("adapter.merged", adapter=adapter.name, strength=adapter.strength)
        return model
    if not adapters:
        return model
    tuned = _beside(model, adapters)
    strengths = [adapter.strength for adapter in adapters]
    parts = [label(number) for number in range(len(adapters))]
    try:
        tuned.add_weighted_adapter(parts, strengths, _COMBINED, combination_type=how, density=density)
        tuned.set_adapter(_COMBINED)
        merged = tuned.merge_and_unload(safe_merge=True)
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"these adapters cannot be combined by {how}: {first_line(error)}") from error
    _log.info("adapters.combined", adapters=[it.name for it in adapters], strengths=strengths, combination_type=how)
    return merged


def attach(model: Any, adapters: Sequence[Adapter]) -> Any:
    """The transformers model with all of them beside it, each by its ``label`` and at its strength, the first of them
    active. Raises ModelError."""
    from peft.tuners.lora.layer import LoraLayer

    model = _beside(model, adapters)
    for number, adapter in enumerate(adapters):
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.set_scale(label(number), adapter.strength)
    return model


def _beside(model: Any, adapters: Sequence[Adapter]) -> Any:
    """All of them at full strength."""
    from peft import PeftModel

    for number, adapter in enumerate(adapters):
        with fitting(adapter):
            folder = str(adapter.saved)
            if number == 0:
                model = PeftModel.from_pretrained(model, folder, adapter_name=label(number))
            else:
                model.load_adapter(folder, label(number))
        _log.info("adapter.loaded", adapter=adapter.name, strength=adapter.strength)
    return model


def label(number: int) -> str:
    """What PEFT calls the adapter of that number: not its name, for a module's has no dots."""
    return f"adapter{number}"


def _merge(model: Any, adapter: Adapter) -> Any:
    from peft import PeftModel
    from peft.helpers import rescale_adapter_scale

    with fitting(adapter):
        tuned = PeftModel.from_pretrained(model, str(adapter.saved))
        if adapter.strength == 1:
            return tuned.merge_and_unload(safe_merge=True)
        with rescale_adapter_scale(tuned, adapter.strength):
            return tuned.merge_and_unload(safe_merge=True)


@contextmanager
def fitting(adapter: Adapter) -> Iterator[None]:
    """What is said of an adapter that is broken, or is another model's, as a ModelError."""
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            # Of an adapter for another model: PEFT would go on without what it does not find.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, UserWarning, SafetensorError) as error:
        raise ModelError(f"the adapter in {adapter.saved} does not go with this model: {first_line(error)}") from error
