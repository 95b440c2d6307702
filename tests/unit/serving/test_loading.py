"""What is loaded, and under which names; that it answers is shown in tests/integration/serving."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from oci import RECORD
from serving.adapters import Adapter
from serving.engine import ModelError
from serving.gang import Place
from serving.loading import Wanted, fetched, only_torch
from serving.settings import Settings
from tests.unit.serving.tiny import make_adapter, make_model

ALONE, GANG = Place(0, 0, 1), Place(0, 0, 2)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    weights = tmp_path_factory.mktemp("model")
    make_model(weights)
    adapters = tuple(
        Adapter(make_adapter(weights, tmp_path_factory.mktemp("adapters") / name), 1.0) for name in ("poems", "laws")
    )
    return Wanted(weights, "phi", "text-generation", "auto", "auto", adapters, Settings())


def test_adapters_that_requests_choose_are_models_too(wanted: Wanted) -> None:
    assert wanted.names == ["phi"]
    apart = replace(wanted, settings=Settings(adapters="per-request"))
    assert apart.names == ["phi", "poems", "laws"]
    with pytest.raises(ModelError, match="poems is the name of two"):
        _ = replace(apart, name="poems").names


def test_what_only_torch_can_do_is_named(wanted: Wanted) -> None:
    assert only_torch(wanted, ALONE) is None
    assert only_torch(replace(wanted, settings=Settings(combination_type="svd")), ALONE) == (
        "a combination_type is for the backend torch"
    )
    assert only_torch(replace(wanted, adapters=(), settings=Settings(combination_type="svd")), ALONE) is None
    assert only_torch(wanted, GANG) == "a model in several processes is for the backend torch"
    assert only_torch(replace(wanted, settings=Settings(quantization="bnb-4bit")), ALONE) == (
        "the quantization bnb-4bit is for the backend torch"
    )
    config = wanted.adapters[1].folder / "adapter_config.json"
    said = config.read_text()
    config.write_text(json.dumps({**json.loads(said), "use_dora": True}))
    assert only_torch(wanted, ALONE) == "adapter laws has use_dora, which is for the backend torch"
    config.write_text(said)


def test_what_was_pulled_says_how_long_that_took(wanted: Wanted, tmp_path: Path) -> None:
    assert fetched(wanted) is None, "the kubelet has mounted it"
    for folder, seconds in ((wanted.weights, 60.5), (wanted.adapters[0].folder, 1.25)):
        (folder / RECORD).write_text(json.dumps({"seconds": seconds}))
    assert fetched(wanted) == 61.75
