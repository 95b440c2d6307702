"""Models and instance types as typed data, read from models.yaml and skus.csv, beside this file or elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: Where an installation keeps a catalogue of its own; unset, the one that ships with the project is read.
FOLDER_VARIABLE: Final = "KAITO_CATALOGUE"
#: Of the catalogue that ships with the project.
FOLDER: Final = Path(__file__).parent
MODELS_FILE: Final = "models.yaml"
SKUS_FILE: Final = "skus.csv"
SKU_COLUMNS: Final = ["provider", "name", "gpus", "memory_gib", "gpu_model"]
#: Instance types we have no line for, but whose names say what they are.
GPU_PREFIX, CPU_PREFIX = "Standard_N", "Standard_D"

_Entry = TypeVar("_Entry", bound=BaseModel)


class CatalogueError(ValueError):
    """A file of the catalogue cannot be used; the message names the file, the entry and what is wrong with it."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Needs(_Data):
    """The least that all nodes of a Workspace have together, and each of their GPUs. Memory is in GiB."""

    gpus: int = Field(ge=0)
    gpu_memory_gib: float = Field(ge=0)
    gpu_memory_each_gib: float = Field(0, ge=0)


class ModelPreset(_Data):
    """One model; ``image`` holds its weights in the folder ``weights``. No ``tuning``: it cannot be tuned."""

    name: str = Field(pattern="^[a-z0-9]([-a-z0-9._/]*[a-z0-9])?$", max_length=253)
    aliases: tuple[str, ...] = ()
    image: str
    weights: str
    disk: str = Field(pattern=r"^\d+[GT]i$")
    inference: Needs
    tuning: Needs | None = None
    readiness_minutes: int = Field(ge=1)
    access_mode: Literal["public", "private"] = "public"
    distributed: bool = False
    torch_dtype: Literal["auto", "bfloat16", "float16", "float32"]
    pipeline: Literal["text-generation", "conversational"]
    huggingface: str = ""


class Sku(_Data):
    """An instance type. ``memory_gib`` is the sum over its GPUs; None where we only know the family."""

    name: str = Field(pattern="^[A-Za-z0-9][-A-Za-z0-9._]*$")
    provider: str = Field(pattern="^[a-z]+$")
    gpus: int = Field(ge=0)
    memory_gib: float | None = Field(None, ge=0)
    gpu_model: str = Field("", pattern="^[^,]*$")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``models`` by every name they have, ``skus`` by name; all names in lower case."""

    models: Mapping[str, ModelPreset]
    skus: Mapping[str, Sku]

    @property
    def names(self) -> list[str]:
        """The presets' own names, sorted."""
        return sorted({model.name for model in self.models.values()})

    def model(self, name: str) -> ModelPreset | None:
        """The preset of that name or alias, in any case."""
        return self.models.get(name.lower())

    def sku(self, name: str) -> Sku | None:
        """The instance type; a Standard_D* has no GPU, a Standard_N* we do not know is taken to have one."""
        known = self.skus.get(name.lower())
        if known is None and name.lower().startswith(CPU_PREFIX.lower()):
            return Sku(name=name, provider="azure", gpus=0, memory_gib=0)
        if known is None and name.lower().startswith(GPU_PREFIX.lower()):
            return Sku(name=name, provider="azure", gpus=1, memory_gib=None)
        return known

    @property
    def providers(self) -> list[str]:
        """Whose instance types there are, sorted."""
        return sorted({sku.provider for sku in self.skus.values()})

    def fitting(self, needs: Needs, provider: str, count: int = 1) -> list[Sku]:
        """The instance types that ``count`` nodes of are enough, the least first, among those that clouds still have
        (GPU named)."""
        offered = (sku for sku in self.skus.values() if sku.provider == provider and sku.gpu_model)
        fitting = [sku for sku in offered if not shortfall("it", needs, sku, count)]
        return sorted(fitting, key=lambda sku: (sku.memory_gib or 0, sku.gpus, sku.name))

    def smallest(self, needs: Needs, provider: str) -> Sku | None:
        """The least instance type that one node of is enough of."""
        return next(iter(self.fitting(needs, provider)), None)


def shortfall(what: str, needs: Needs, sku: Sku, count: int) -> str | None:
    """What ``count`` nodes of this type lack for ``what``, as a sentence with the numbers; None if they fit."""
    have = count * sku.gpus
    if have < needs.gpus:
        gpus = "1 GPU" if needs.gpus == 1 else f"{needs.gpus} GPUs"
        return f"{what} needs {gpus}, and {count} x {sku.name} has {have}"
    if sku.memory_gib is None or needs.gpus == 0:
        return None
    each, total = sku.memory_gib / sku.gpus, count * sku.memory_gib
    if each < needs.gpu_memory_each_gib:
        return f"{what} needs {needs.gpu_memory_each_gib:g} GiB on each GPU, and {sku.name} has {each:g}"
    if total < needs.gpu_memory_gib:
        return f"{what} needs {needs.gpu_memory_gib:g} GiB of GPU memory, and {count} x {sku.name} has {total:g}"
    return None


def installed(environment: Mapping[str, str]) -> Catalogue:
    """The catalogue of this installation; raises CatalogueError."""
    folder = environment.get(FOLDER_VARIABLE)
    return load(Path(folder)) if folder else load()


def load(folder: Path = FOLDER) -> Catalogue:
    """The catalogue in that folder, all of it checked; raises CatalogueError."""
    return Catalogue(_models(folder / MODELS_FILE), _skus(folder / SKUS_FILE))


def _models(file: Path) -> dict[str, ModelPreset]:
    try:
        data = yaml.load(_read(file), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise CatalogueError(f"{file} is not YAML: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("models"), list):
        raise CatalogueError(f"{file} needs a list under the key 'models'")
    models: dict[str, ModelPreset] = {}
    for number, entry in enumerate(data["models"], 1):
        title = entry.get("name", f"entry {number}") if isinstance(entry, dict) else f"entry {number}"
        model = _checked(ModelPreset, entry, f"{file}, {title}")
        if model.image and "/" not in model.image:
            model = model.model_copy(update={"image": f"{data.get('registry', '')}/{model.image}".lstrip("/")})
        if not model.image and model.access_mode == "public":
            raise CatalogueError(f"{file}, {title}: a public model needs an image that holds its weights")
        for name in (model.name, *(alias.lower() for alias in model.aliases)):
            if name in models:
                raise CatalogueError(f"{file}, {title}: {name} is the name of {models[name].name} already")
            models[name] = model
    return models


def _skus(file: Path) -> dict[str, Sku]:
    skus: dict[str, Sku] = {}
    rows = csv.DictReader(_read(file).splitlines())
    if rows.fieldnames != SKU_COLUMNS:  # admission counts columns
        raise CatalogueError(f"{file}, line 1: the columns are {','.join(SKU_COLUMNS)}, not {rows.fieldnames}")
    for number, row in enumerate(rows, 2):
        sku = _checked(Sku, {**row, "memory_gib": row.get("memory_gib") or None}, f"{file}, line {number}")
        if sku.name.lower() in skus:
            raise CatalogueError(f"{file}, line {number}: {sku.name} has a line already")
        skus[sku.name.lower()] = sku
    return skus


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise CatalogueError(f"{file} cannot be read: {error.strerror}") from error


def _checked(kind: type[_Entry], entry: Any, where: str) -> _Entry:
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in it['loc']) or 'it'}: {it['msg']}, got {it['input']!r}"
            for it in error.errors()
        )
        raise CatalogueError(f"{where}: {wrong}") from error
