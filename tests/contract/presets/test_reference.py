"""Our catalogue against the reference operator's own tables (fixtures/presets): nothing of them is missing here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import presets
from presets import Needs

FIXTURES = Path(__file__).parents[1] / "fixtures" / "presets"
TABLES = json.loads((FIXTURES / "presets.json").read_text())
CATALOGUE = presets.load()
#: Known bugs of the reference, which are not to be copied.
RIGHT_DISK = {"400": "400Gi"}
#: As of its last release; two earlier ones say otherwise.
RIGHT_MEMORY = {"Standard_ND96amsr_A100_v4": 640}


def newest(rows: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """By name, of the last release that has it."""
    by_release = sorted(rows, key=lambda row: [int(part) for part in row["tag"].removeprefix("v").split(".")])
    return {row[name]: row for row in by_release}


def gib(quantity: str) -> float:
    return float(quantity.removesuffix("Gi"))


def needs(row: dict[str, Any]) -> Needs:
    return Needs(
        gpus=int(row["gpuCountRequirement"]),
        gpu_memory_gib=gib(row["totalGPUMemoryRequirement"]),
        gpu_memory_each_gib=gib(row["perGPUMemoryRequirement"]),
    )


@pytest.mark.parametrize(("name", "row"), newest(TABLES["presets"], "name").items())
def test_every_preset_of_the_reference_is_ours(name: str, row: dict[str, Any]) -> None:
    model = CATALOGUE.model(name)
    assert model is not None
    assert model.inference == needs(row)
    assert model.tuning == (needs(row["tuning"]) if row["tuning"] else None)
    disk = row["diskStorageRequirement"]
    assert model.disk == RIGHT_DISK.get(disk, disk)
    assert (model.access_mode, model.distributed) == (row["image_access_mode"], row["distributed"])
    assert model.readiness_minutes == row["readiness_timeout_min"]
    if model.access_mode == "public":
        assert model.image == f"mcr.microsoft.com/aks/kaito/kaito-{name}:{row['image_tag']}"
        assert (model.torch_dtype, model.pipeline) == (row["run_params"]["torch_dtype"], row["run_params"]["pipeline"])


def test_todays_names_of_them_are_aliases() -> None:
    ours = {name: alias for name, alias in TABLES["v0_12_legacy_names"].items() if CATALOGUE.model(name)}
    assert len(ours) >= 13
    for name, alias in ours.items():
        assert CATALOGUE.model(alias) is CATALOGUE.model(name)


@pytest.mark.parametrize(("name", "row"), newest(json.loads((FIXTURES / "skus.json").read_text()), "sku").items())
def test_every_instance_type_of_the_reference_is_ours(name: str, row: dict[str, Any]) -> None:
    sku = CATALOGUE.skus[name.lower()]
    assert (sku.name, sku.provider, sku.gpus) == (name, row["provider"], row["gpu_count"])
    assert sku.memory_gib == RIGHT_MEMORY.get(name, row["gpu_mem_total_gib"])
