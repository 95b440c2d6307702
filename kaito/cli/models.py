"""``kaito presets``: the models of a catalogue, what they need, and the instance types that have it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final

from kaito.cli.planning import amount
from presets import Catalogue, CatalogueError, ModelPreset, Needs, Sku

#: Nodes that are tried together where one is too few; models are tuned on one.
_MOST_NODES: Final = {"inference": 8, "tuning": 1}
_HEAD: Final = ("NAME", "TYPE", "GPUS", "GPU MEMORY", "SMALLEST", "ALSO")


def every(catalogue: Catalogue) -> list[ModelPreset]:
    return [catalogue.models[name] for name in catalogue.names]


def find(catalogue: Catalogue, name: str) -> ModelPreset:
    """By its name or an alias; raises CatalogueError."""
    found = catalogue.model(name)
    if found is None:
        alike = get_close_matches(name.lower(), catalogue.models, n=3)
        known = f"did you mean {' or '.join(alike)}?" if alike else "`kaito presets` lists them"
        raise CatalogueError(f"there is no preset {name!r} in the catalogue: {known}")
    return found


def table(models: Sequence[ModelPreset], catalogue: Catalogue) -> str:
    """A line each."""
    rows = [_HEAD, *(_row(it, catalogue) for it in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def described(model: ModelPreset, catalogue: Catalogue) -> str:
    """All there is to say of one."""
    facts = {
        "aliases": ", ".join(model.aliases),
        "type": model.pipeline,
        "served": "by several processes together, as a StatefulSet" if model.distributed else "",
        "weights": model.image or "yours: preset.accessMode private, and presetOptions.image",
        "disk": model.disk,
        "starts": f"within {model.readiness_minutes} minutes",
        "dtype": model.torch_dtype,
        "see": model.huggingface,
    }
    lines = [f"preset {model.name}", *(_line(title, text) for title, text in facts.items() if text)]
    for title, needs in (("inference", model.inference), ("tuning", model.tuning)):
        lines += [
            "",
            f"{title} needs {_needed(needs)}" if needs else f"{title} is not to be had: {model.name} has none",
        ]
        if needs is not None and needs.gpus:
            lines += (_line(provider, text) for provider, text in _offers(title, needs, catalogue))
    return "\n".join(lines)


def to_json(models: Sequence[ModelPreset], catalogue: Catalogue) -> str:
    return json.dumps([_json(it, catalogue) for it in models], indent=2)


def _row(model: ModelPreset, catalogue: Catalogue) -> tuple[str, ...]:
    needs, smallest = model.inference, []
    for provider in catalogue.providers if needs.gpus else ():
        count, skus = fitting("inference", needs, provider, catalogue)
        smallest += [f"{count} x {skus[0].name}" if count > 1 else skus[0].name] if skus else []
    tags = (("tuning", model.tuning), ("distributed", model.distributed), ("private", model.access_mode == "private"))
    return (
        model.name,
        model.pipeline,
        str(needs.gpus),
        f"{needs.gpu_memory_gib:g} GiB" if needs.gpus else "",
        ", ".join(smallest) if needs.gpus else "any, GPU or not",
        ", ".join(tag for tag, holds in tags if holds),
    )


def _json(model: ModelPreset, catalogue: Catalogue) -> dict[str, Any]:
    wanted = {"inference": model.inference, "tuning": model.tuning}
    return {
        **model.model_dump(),
        "fits": {
            title: {provider: _fits(title, needs, provider, catalogue) for provider in catalogue.providers}
            for title, needs in wanted.items()
            if needs is not None
        },
    }


def _fits(work: str, needs: Needs, provider: str, catalogue: Catalogue) -> dict[str, Any]:
    count, skus = fitting(work, needs, provider, catalogue)
    return {"nodes": count, "instanceTypes": [it.name for it in skus]}


def fitting(work: str, needs: Needs, provider: str, catalogue: Catalogue) -> tuple[int, list[Sku]]:
    """The least number of nodes that do, and of which types, the least first; none where so many are not enough."""
    for count in range(1, _MOST_NODES[work] + 1):
        if found := catalogue.fitting(needs, provider, count):
            return count, found
    return 0, []


def _offers(work: str, needs: Needs, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for provider in catalogue.providers:
        count, skus = fitting(work, needs, provider, catalogue)
        for number, sku in enumerate(skus):
            text = f"{count} x {sku.name}: {amount(count * sku.gpus, count * (sku.memory_gib or 0))}, {sku.gpu_model}"
            yield "" if number else provider, text
        if not skus:
            most = _MOST_NODES[work]
            yield provider, f"nothing that it has, with {f'up to {most} nodes' if most > 1 else 'one node'}"


def _needed(needs: Needs) -> str:
    each = f", {needs.gpu_memory_each_gib:g} GiB on each" if needs.gpu_memory_each_gib else ""
    return f"{amount(needs.gpus, needs.gpu_memory_gib)}{each}" + ("" if needs.gpus else ": any instance type does")


def _line(title: str, text: str) -> str:
    return f"  {title:<9}{text}"
