"""The catalogue's data, and what fits what."""

from __future__ import annotations

import re

import pytest

import presets

CATALOGUE = presets.load()


def test_every_model_is_whole() -> None:
    assert len(CATALOGUE.models) >= 25
    for model in CATALOGUE.models.values():
        assert re.fullmatch(r"\d+Gi", model.disk), model.name
        assert model.image or model.access_mode == "private", model.name
        assert model.gpus >= 0


@pytest.mark.parametrize(
    ("name", "gpus", "memory"),
    [
        ("Standard_NC24ads_A100_v4", 1, 80),
        ("standard_nc24ads_a100_v4", 1, 80),
        ("Standard_ND96amsr_A100_v4", 8, 640),  # the reference says 80 in one release
        ("Standard_NC6s_v3", 1, 16),
        ("p4d.24xlarge", 8, 320),
        ("Standard_D4s_v5", 0, 0),
        ("Standard_NX1_v9", 1, None),
    ],
)
def test_instance_types(name: str, gpus: int, memory: float | None) -> None:
    sku = CATALOGUE.sku(name)
    assert sku is not None
    assert (sku.gpus, sku.memory_gib) == (gpus, memory)


def test_an_unknown_instance_type_is_none() -> None:
    assert CATALOGUE.sku("gpu-box") is None


def test_the_reference_disk_bug_is_put_right() -> None:
    model = CATALOGUE.model("falcon-40b")
    assert model is not None
    assert model.disk == "400Gi"


@pytest.mark.parametrize(
    ("model", "sku", "count", "lacking"),
    [
        ("phi-3-mini-4k-instruct", "Standard_NC6s_v3", 1, None),
        ("falcon-40b", "Standard_NC6s_v3", 1, "needs 2 GPUs"),
        ("falcon-40b", "Standard_NC6s_v3", 2, "needs 90 GiB"),
        ("falcon-40b", "Standard_NC48ads_A100_v4", 1, None),
        ("llama-2-70b", "Standard_NC64as_T4_v3", 2, "needs 19 GiB on each GPU"),
        ("smollm2-135m-instruct", "Standard_D4s_v5", 1, None),
        ("phi-4", "Standard_NX1_v9", 1, None),
    ],
)
def test_what_fits(model: str, sku: str, count: int, lacking: str | None) -> None:
    preset, instance_type = CATALOGUE.model(model), CATALOGUE.sku(sku)
    assert preset is not None
    assert instance_type is not None
    found = presets.shortfall(preset, instance_type, count)
    assert found == lacking if lacking is None else lacking in (found or "")


@pytest.mark.parametrize("name", ["phi-2", "phi-4", "falcon-40b", "llama-2-70b"])
def test_the_smallest_that_would_do(name: str) -> None:
    model = CATALOGUE.model(name)
    assert model is not None
    smallest = CATALOGUE.smallest(model, "azure")
    assert smallest is not None
    assert smallest.gpu_model, "an old type that no cloud has any more is no advice"
    assert presets.shortfall(model, smallest, 1) is None
