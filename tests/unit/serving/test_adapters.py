"""Adapters in a model's weights: what PEFT computes with them, and what is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.adapters import Adapter, Combination, attach, label, merge, named, parse
from serving.engine import ModelError
from tests.unit.serving.tiny import make_adapter, make_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    return folder


@pytest.fixture(scope="module")
def poems(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(weights, tmp_path_factory.mktemp("poems"))


@pytest.fixture(scope="module")
def laws(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an image of a tuning holds it, of another rank."""
    folder = tmp_path_factory.mktemp("laws")
    make_adapter(weights, folder / "data", seed=2, rank=3)
    return folder


def model(weights: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(weights).eval()


def logits(model: Any) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([[3, 1, 4, 1, 5]])).logits


def queries(model: Any) -> Any:
    return model.state_dict()["model.layers.0.self_attn.q_proj.weight"]


def test_an_adapter_at_full_strength_is_pefts_own_model(weights: Path, poems: Path) -> None:
    from peft import PeftModel

    expected = logits(PeftModel.from_pretrained(model(weights), str(poems)))
    assert not torch.allclose(expected, logits(model(weights)), atol=1e-2), "it changes something"
    assert torch.allclose(logits(merge(model(weights), [Adapter(poems, 1.0)])), expected, atol=1e-4)


def test_a_strength_is_a_share_of_the_change(weights: Path, poems: Path, laws: Path) -> None:
    base, full, other = (
        queries(merge(model(weights), adapters)) for adapters in ([], [Adapter(poems, 1.0)], [Adapter(laws, 1.0)])
    )
    both = queries(merge(model(weights), [Adapter(poems, 0.25), Adapter(laws, 0.5)]))
    assert torch.allclose(both, base + 0.25 * (full - base) + 0.5 * (other - base), atol=1e-5)
    assert torch.equal(queries(merge(model(weights), [Adapter(poems, 0.0)])), base)


@pytest.mark.parametrize(("how", "density"), [("cat", None), ("svd", None), ("ties_svd", 0.9)])
def test_peft_combines_them_where_that_is_asked_for(
    weights: Path, poems: Path, laws: Path, how: Combination, density: float | None
) -> None:
    adapters = [Adapter(poems, 0.25), Adapter(laws, 0.5)]
    added, combined = merge(model(weights), adapters), merge(model(weights), adapters, how, density)
    assert type(combined) is type(model(weights))
    assert torch.allclose(queries(combined), queries(added), atol=1e-4) is (how == "cat"), "cat is their sum"
    assert not torch.allclose(queries(combined), queries(model(weights)), atol=1e-2)


def test_what_peft_cannot_combine_is_said(weights: Path, poems: Path, laws: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be combined by linear: .*the same r"):
        merge(model(weights), [Adapter(poems, 0.5), Adapter(laws, 0.5)], "linear")


def test_beside_the_model_each_has_its_strength(weights: Path, poems: Path, laws: Path) -> None:
    adapters = [Adapter(poems, 0.25), Adapter(laws, 1.0)]
    tuned = attach(model(weights), adapters)
    for number, adapter in enumerate(adapters):
        tuned.set_adapter(label(number))
        assert torch.allclose(logits(tuned), logits(merge(model(weights), [adapter])), atol=1e-3)
    with tuned.disable_adapter():
        assert torch.allclose(logits(tuned), logits(model(weights)), atol=1e-4)


def test_a_name_is_one_adapters(tmp_path: Path) -> None:
    first, second = Adapter(tmp_path / "a" / "poems", 1.0), Adapter(tmp_path / "b" / "poems", 1.0)
    assert named([first, Adapter(tmp_path / "laws", 1.0)], ["phi"]) == ["poems", "laws"]
    for adapters, taken in (([first, second], ["phi"]), ([first], ["poems"])):
        with pytest.raises(ModelError, match="poems is the name of two"):
            named(adapters, taken)


def test_what_is_merged_is_a_plain_model(weights: Path, poems: Path) -> None:
    assert type(merge(model(weights), [Adapter(poems, 0.5)])) is type(model(weights))


def test_an_adapter_of_another_model_is_refused(weights: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "other", heads=4)
    adapter = make_adapter(tmp_path / "other", tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"adapter does not go with this model: .*size mismatch|Error"):
        merge(model(weights), [Adapter(adapter, 1.0)])


def test_an_adapter_of_other_layers_is_refused(weights: Path, poems: Path, tmp_path: Path) -> None:
    for file in poems.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["o_proj"]}))
    with pytest.raises(ModelError, match="does not go with this model"):
        merge(model(weights), [Adapter(tmp_path, 1.0)])


def test_a_folder_without_an_adapter_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither it nor its folder data has"):
        merge(model(weights), [Adapter(tmp_path, 1.0)])


def test_a_broken_file_is_refused(weights: Path, poems: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes((poems / "adapter_config.json").read_bytes())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="does not go with this model"):
        merge(model(weights), [Adapter(tmp_path, 0.5)])


@pytest.mark.parametrize(
    ("text", "adapter"),
    [("/a/b=0.5", Adapter(Path("/a/b"), 0.5)), ("a=b=1", Adapter(Path("a=b"), 1.0)), ("a=0", Adapter(Path("a"), 0.0))],
)
def test_a_flag_is_a_path_and_a_strength(text: str, adapter: Adapter) -> None:
    assert parse(text) == adapter


@pytest.mark.parametrize("text", ["a", "a=", "=1", "a=much", "a=1.5", "a=-0.1", "a=nan"])
def test_another_flag_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not PATH=STRENGTH"):
        parse(text)
