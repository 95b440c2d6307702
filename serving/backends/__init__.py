"""The engines, a file each, and which one a model gets."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final, Literal

from serving.backends import openvino
from serving.engine import ModelError

BACKENDS: Final = ("auto", "torch", "openvino")


def choose(wanted: str, weights: Path, only_torch: str | None) -> Literal["torch", "openvino"]:
    """The backend that was asked for, or the one that this machine is quickest with. Raises ModelError.

    ``only_torch``: what is to be done with the model that no other can.
    """
    if wanted == "torch":
        return "torch"
    why_not = only_torch or _why_not_openvino(weights)
    if wanted == "openvino":
        if why_not:
            raise ModelError(f"backend openvino: {why_not}")
        return "openvino"
    return "torch" if why_not or _has_gpu() else "openvino"


def _why_not_openvino(weights: Path) -> str | None:
    if importlib.util.find_spec("openvino_genai") is None:
        return "the package openvino-genai is not installed"
    if not openvino.is_exported(weights):
        return f"{weights} has no folder {openvino.FOLDER}: make it with python -m serving.export {weights}"
    return None


def _has_gpu() -> bool:
    """By NVIDIA's driver alone: to ask torch takes seconds."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
