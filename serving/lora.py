"""Plain LoRA adapters, by their files alone: PEFT takes seconds to import, and what openvino_genai reads of an adapter
it takes as it is, without a word on what it leaves out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serving.adapters import CONFIG, Adapter, fitting
from serving.engine import ModelError, first_line

TENSORS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
_DOWN: Final = ".lora_A.weight"
_UP: Final = ".lora_B.weight"
#: What PEFT can do differently with the same matrices, by the names in its configuration.
_OTHERWISE: Final = (
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "fan_in_fan_out", "kasa_config", "layer_replication",
    "rank_pattern", "use_bdlora", "use_dora", "use_qalora",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lora:
    """``scale``: how much of the product of the matrices in ``file`` is added to the weights."""

    file: Path
    scale: float


def why_not_plain(adapter: Adapter) -> str | None:
    """What this adapter is besides two small matrices a module, or instead. Raises ModelError."""
    config, file = _config(adapter), adapter.saved / TENSORS
    if (kind := config.get("peft_type")) != "LORA":
        return f"adapter {adapter.name} is of type {kind}, not LORA"
    if otherwise := [name for name in _OTHERWISE if config.get(name)]:
        return f"adapter {adapter.name} has {', '.join(otherwise)}"
    if not file.is_file():
        return f"adapter {adapter.name} has no {TENSORS}"
    with fitting(adapter):
        others = [name for name in _shapes(file) if not name.endswith((_DOWN, _UP))]
    return f"adapter {adapter.name} has a {others[0]}" if others else None


def read(adapters: Sequence[Adapter], weights: Path) -> list[Lora]:
    """Plain adapters of the model in ``weights``. Raises ModelError where one is broken, or is another model's."""
    model = {name: shape for file in sorted(weights.glob("*.safetensors")) for name, shape in _shapes(file).items()}
    return [_read(adapter, model) for adapter in adapters]


def _read(adapter: Adapter, model: Mapping[str, list[int]]) -> Lora:
    file, config = adapter.saved / TENSORS, _config(adapter)
    with fitting(adapter):
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if wrong := _misfit(_shapes(file), model, rank):
            raise ValueError(wrong)
    return Lora(file, adapter.strength * alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _misfit(tensors: Mapping[str, list[int]], model: Mapping[str, list[int]], rank: int) -> str | None:
    """Why these matrices cannot be added to the model's."""
    modules = {name.removesuffix(_DOWN).removesuffix(_UP) for name in tensors}
    for module in sorted(modules):
        base = model.get(f"{module.removeprefix(_PREFIX)}.weight")
        if base is None:
            return f"it changes {module.removeprefix(_PREFIX)}, which the model has not"
        for name, expected in ((module + _DOWN, [rank, base[1]]), (module + _UP, [base[0], rank])):
            if (found := tensors.get(name)) != expected:
                return f"{name} has the shape {found}, and the model asks for {expected}"
    return None if modules else "it has no tensors"


def _config(adapter: Adapter) -> dict[str, Any]:
    file = adapter.saved / CONFIG
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} holds no configuration")
    return config


def _shapes(file: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(file, "np") as tensors:
        return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118 - no dict
