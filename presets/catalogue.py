"""Models and instance types as typed data, read from models.yaml and skus.csv beside this file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

#: Instance types we have no line for, but whose names say what they are.
GPU_PREFIX, CPU_PREFIX = "Standard_N", "Standard_D"


class ModelPreset(BaseModel):
    """One model. Memory is in GiB; ``image`` holds the weights in its folder ``weights``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    image: str
    weights: str
    disk: str
    gpus: int
    gpu_memory_gib: float
    gpu_memory_each_gib: float = 0
    readiness_minutes: int
    access_mode: Literal["public", "private"] = "public"
    distributed: bool = False
    torch_dtype: Literal["auto", "bfloat16", "float16", "float32"]
    pipeline: Literal["text-generation", "conversational"]
    huggingface: str = ""


@dataclass(frozen=True, slots=True)
class Sku:
    """An instance type. ``memory_gib`` is the sum over its GPUs; None where we only know the family."""

    name: str
    provider: str
    gpus: int
    memory_gib: float | None
    gpu_model: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    models: Mapping[str, ModelPreset]
    skus: Mapping[str, Sku]

    def model(self, name: str) -> ModelPreset | None:
        """The preset of that name, in any case."""
        return self.models.get(name.lower())

    def sku(self, name: str) -> Sku | None:
        """The instance type; a Standard_D* has no GPU, a Standard_N* we do not know is taken to have one."""
        known = self.skus.get(name.lower())
        if known is None and name.lower().startswith(CPU_PREFIX.lower()):
            return Sku(name, "azure", 0, 0)
        if known is None and name.lower().startswith(GPU_PREFIX.lower()):
            return Sku(name, "azure", 1, None)
        return known

    def smallest(self, model: ModelPreset, provider: str) -> Sku | None:
        """The least instance type that one node of is enough of, among those that clouds still have (GPU named)."""
        offered = (sku for sku in self.skus.values() if sku.provider == provider and sku.gpu_model)
        fitting = [sku for sku in offered if not shortfall(model, sku, 1)]
        return min(fitting, key=lambda sku: (sku.memory_gib or 0, sku.gpus, sku.name), default=None)


def shortfall(model: ModelPreset, sku: Sku, count: int) -> str | None:
    """What ``count`` nodes of this type lack for the model, as a sentence with the numbers; None if they fit."""
    have = count * sku.gpus
    if have < model.gpus:
        gpus = "1 GPU" if model.gpus == 1 else f"{model.gpus} GPUs"
        return f"{model.name} needs {gpus}, and {count} x {sku.name} has {have}"
    if sku.memory_gib is None or model.gpus == 0:
        return None
    each, total = sku.memory_gib / sku.gpus, count * sku.memory_gib
    if each < model.gpu_memory_each_gib:
        return f"{model.name} needs {model.gpu_memory_each_gib:g} GiB on each GPU, and {sku.name} has {each:g}"
    if total < model.gpu_memory_gib:
        return f"{model.name} needs {model.gpu_memory_gib:g} GiB of GPU memory, and {count} x {sku.name} has {total:g}"
    return None


@cache
def load() -> Catalogue:
    """The catalogue that ships with the project."""
    folder = resources.files("presets")
    data = yaml.safe_load(folder.joinpath("models.yaml").read_text())
    models = {}
    for entry in data["models"]:
        model = ModelPreset.model_validate(entry)
        if model.image and "/" not in model.image:
            model = model.model_copy(update={"image": f"{data['registry']}/{model.image}"})
        models[model.name] = model
    rows = csv.DictReader(folder.joinpath("skus.csv").read_text().splitlines())
    skus = {
        row["name"].lower(): Sku(
            row["name"], row["provider"], int(row["gpus"]), float(row["memory_gib"]), row["gpu_model"]
        )
        for row in rows
    }
    return Catalogue(models, skus)
