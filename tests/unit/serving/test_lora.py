"""What is a plain LoRA adapter of a model, by its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from serving.adapters import Adapter
from serving.engine import ModelError
from serving.lora import TENSORS, Lora, read, why_not_plain
from tests.unit.serving.tiny import make_adapter, make_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    return folder


@pytest.fixture
def poems(weights: Path, tmp_path: Path) -> Path:
    return make_adapter(weights, tmp_path / "poems")


def configure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))


def change(folder: Path, **changes: Any) -> None:
    tensors = {**load_file(folder / TENSORS), **changes}
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / TENSORS)


def test_its_scale_is_pefts(weights: Path, poems: Path) -> None:
    assert why_not_plain(Adapter(poems, 1.0)) is None
    assert read([Adapter(poems, 1.0)], weights) == [Lora(poems / TENSORS, 4.0)], "alpha 8, rank 2"
    assert read([Adapter(poems, 0.5)], weights)[0].scale == 2.0
    configure(poems, use_rslora=True)
    assert read([Adapter(poems, 1.0)], weights)[0].scale == pytest.approx(8 / 2**0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"peft_type": "LOHA"}, "adapter poems is of type LOHA, not LORA"),
        ({"use_dora": True, "rank_pattern": {"q_proj": 4}}, "adapter poems has rank_pattern, use_dora"),
    ],
)
def test_another_kind_is_named(poems: Path, changes: dict[str, Any], said: str) -> None:
    configure(poems, **changes)
    assert why_not_plain(Adapter(poems, 1.0)) == said


def test_what_else_it_holds_is_named(poems: Path) -> None:
    change(poems, **{"base_model.model.lm_head.weight": np.zeros((2, 2))})
    assert why_not_plain(Adapter(poems, 1.0)) == "adapter poems has a base_model.model.lm_head.weight"
    (poems / TENSORS).unlink()
    assert why_not_plain(Adapter(poems, 1.0)) == f"adapter poems has no {TENSORS}"


QUERIES = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({f"{QUERIES}.lora_A.weight": None}, "q_proj.lora_A.weight has the shape None, and the model asks for"),
        (
            {f"{QUERIES}.lora_B.weight": np.zeros((3, 2))},
            r"lora_B.weight has the shape \[3, 2\], and the model",
        ),
        ({"base_model.model.model.layers.7.lora_A.weight": np.zeros((2, 2))}, "it changes model.layers.7, which"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(weights: Path, poems: Path, changes: dict[str, Any], said: str) -> None:
    change(poems, **changes)
    with pytest.raises(ModelError, match=f"does not go with this model: .*{said}"):
        read([Adapter(poems, 1.0)], weights)


def test_what_is_broken_is_refused(weights: Path, poems: Path) -> None:
    (poems / TENSORS).write_bytes(b"not tensors")
    for ask in (lambda it: read([it], weights), why_not_plain):
        with pytest.raises(ModelError, match="does not go with this model"):
            ask(Adapter(poems, 1.0))
    for config in ("{", "[]"):
        (poems / "adapter_config.json").write_text(config)
        with pytest.raises(ModelError, match=r"cannot be read|holds no configuration"):
            why_not_plain(Adapter(poems, 1.0))
