"""A model, by itself or with its adapters, loaded as its flags and its settings file say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from oci import RECORD
from serving import lora, tracing
from serving.adapters import Adapter, attach, label, merge, named
from serving.backends import choose
from serving.backends.openvino import OpenVinoEngine
from serving.backends.torch import TransformersEngine
from serving.engine import Engine, ModelError
from serving.gang import Follower, Leader, Place, meet
from serving.metrics import stage, took
from serving.pipeline import load as load_pipelines
from serving.settings import Settings
from serving.startup import Model


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served: the model in ``weights``, called ``name``. Settings go before the rest."""

    weights: Path
    name: str
    pipeline: str
    backend: str
    torch_dtype: str
    adapters: tuple[Adapter, ...]
    settings: Settings

    @property
    def apart(self) -> bool:
        """Do adapters stay beside the model, for requests to choose one?"""
        return self.settings.adapters == "per-request"

    @property
    def names(self) -> list[str]:
        """What requests may call it, the model itself first. Raises ModelError."""
        return [self.name, *(named(self.adapters, [self.name]) if self.apart else ())]


def load(wanted: Wanted, place: Place, failed: Callable[[], None]) -> Mapping[str, Model]:
    """One by each name, all of which have answered once; ``failed`` is called where another process of it is gone.

    Raises ModelError.
    """
    if not place.alone:
        if wanted.settings.quantization:
            raise ModelError("a model in several processes is not quantized: leave out transformers.quantization")
        meet(place, wanted.weights)
    if (seconds := fetched(wanted)) is not None:
        took("fetch", seconds, tracing.BEGAN)  # in a container before this one
    with stage("load"):
        engines = _engines(wanted, place)
    if place.rank > 0:
        follower = Follower(engines[wanted.name], failed)
        follower.start()
        return {wanted.name: follower}
    if not place.alone:
        engines = {name: Leader(engine, failed) for name, engine in engines.items()}
    kind = wanted.settings.pipeline or wanted.pipeline
    return load_pipelines(engines, wanted.weights, kind, wanted.settings.generate_kwargs)


def fetched(wanted: Wanted) -> float | None:
    """Seconds that weights and adapters were pulled for, where oci.pull has put them there."""
    found = [folder / RECORD for folder in (wanted.weights, *(it.folder for it in wanted.adapters))]
    records = [json.loads(file.read_text()) for file in found if file.is_file()]
    return sum(float(record["seconds"]) for record in records) if records else None


def _engines(wanted: Wanted, place: Place) -> Mapping[str, Engine]:
    if choose(wanted.backend, wanted.weights, only_torch(wanted, place)) == "openvino":
        return _by_openvino(wanted)
    return _by_torch(wanted, place)


def only_torch(wanted: Wanted, place: Place) -> str | None:
    if not place.alone:
        return "a model in several processes is for the backend torch"
    if wanted.settings.combination_type and wanted.adapters:
        return "a combination_type is for the backend torch"
    if wanted.settings.quantization:
        return f"the quantization {wanted.settings.quantization} is for the backend torch"
    others = (why for why in map(lora.why_not_plain, wanted.adapters) if why)
    return next((f"{why}, which is for the backend torch" for why in others), None)


def _by_openvino(wanted: Wanted) -> Mapping[str, Engine]:
    loras = lora.read(wanted.adapters, wanted.weights) if wanted.adapters else []
    load = partial(OpenVinoEngine.load, wanted.weights)
    if not wanted.apart:
        return {wanted.name: load(wanted.name, loras)}
    names = zip(wanted.names, [(), *((it,) for it in loras)], strict=True)
    return {name: load(name, adapters) for name, adapters in names}


def _by_torch(wanted: Wanted, place: Place) -> Mapping[str, Engine]:
    adapters, settings = wanted.adapters, wanted.settings
    if wanted.apart:
        change = partial(attach, adapters=adapters)
    else:
        change = partial(merge, adapters=adapters, how=settings.combination_type, density=settings.density)
    engine = TransformersEngine.load(
        wanted.weights,
        settings.torch_dtype or wanted.torch_dtype,
        name=wanted.name,
        change=change,
        divided=not place.alone,
        quantization=settings.quantization,
        batched=not wanted.apart,
    )
    if not wanted.apart or not adapters:
        return {wanted.name: engine}
    labels = [None, *map(label, range(len(adapters)))]
    return {name: engine.with_adapter(it, name) for name, it in zip(wanted.names, labels, strict=True)}
