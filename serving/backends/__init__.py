"""The engines, a file each, and which one a model gets."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final, Literal

from serving.backends import openvino
from serving.engine import ModelError

BACKENDS: Final = ("auto", "torch", "openvino")


def choose(wanted: str, weights: Path, *, changed: bool) -> Literal["torch", "openvino"]:
    """The backend that was asked for, or the one that this machine is quickest with. Raises ModelError.

    ``changed``: the model is not the one in ``weights`` as it is, but with adapters, or a part of it.
    """
    if wanted == "torch":
        return "torch"
    why_not = _why_not_openvino(weights, changed=changed)
    if wanted == "openvino":
        if why_not:
            raise ModelError(f"backend openvino: {why_not}")
        return "openvino"
    return "torch" if why_not or _has_gpu() else "openvino"


def _why_not_openvino(weights: Path, *, changed: bool) -> str | None:
    if changed:
        return "adapters, and models in several processes, are for the backend torch"
    if importlib.util.find_spec("openvino_genai") is None:
        return "the package openvino-genai is not installed"
    if not openvino.is_exported(weights):
        return f"{weights} has no folder {openvino.FOLDER}: make it with python -m serving.export {weights}"
    return None


def _has_gpu() -> bool:
    """By NVIDIA's driver alone: to ask torch takes seconds."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()
