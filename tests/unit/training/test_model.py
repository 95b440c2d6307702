"""What is loaded, and what it computes in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.tiny import asked
from training.failure import TuningError
from training.model import computing, model, tokenizer


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32", "auto", "torch.bfloat16"])
def test_a_cpu_computes_in_float32(wanted: str) -> None:
    assert computing(wanted) == torch.float32


@pytest.mark.parametrize(("wanted", "fast"), [("bfloat16", True), ("bfloat16", False), ("auto", True), ("auto", False)])
def test_a_gpu_without_bfloat16_computes_in_float16(monkeypatch: pytest.MonkeyPatch, wanted: str, fast: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert computing(wanted) == (torch.bfloat16 if fast else torch.float16)
    assert computing("float32") == torch.float32


def test_a_kind_of_number_that_is_none_is_told() -> None:
    with pytest.raises(
        TuningError, match=r"ModelConfig.torch_dtype is int3; it must be bfloat16, float16, float32 or auto"
    ):
        computing("int3")


def test_lora_leaves_the_weights_as_they_are(weights: Path, tmp_path: Path) -> None:
    tuned = model(weights, asked(weights, tmp_path, model={"torch_dtype": "bfloat16"}).settings)
    parameters = dict(tuned.named_parameters())
    assert {it.dtype for it in parameters.values()} == {torch.float32}
    assert all(("lora_" in name) == it.requires_grad for name, it in parameters.items())


@pytest.mark.parametrize(
    ("quantization", "kind"),
    [({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "Linear4bit"), ({"load_in_8bit": True}, "Linear8bitLt")],
)
def test_qlora_quantizes_them(weights: Path, tmp_path: Path, quantization: dict[str, Any], kind: str) -> None:
    tuned = model(weights, asked(weights, tmp_path, "qlora", quantization=quantization).settings)
    layer = tuned.base_model.model.model.layers[0]
    assert {type(it).__name__ for it in (layer.self_attn.q_proj.base_layer, layer.mlp.up_proj)} == {kind}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"lora": {"target_modules": ["nothing"]}}, "LoraConfig does not fit this model: Target modules"),
        ({"lora": {"r": 0}}, "LoraConfig does not fit this model: `r` should be a positive integer"),
    ],
)
def test_matrices_that_do_not_fit_are_told(weights: Path, tmp_path: Path, sections: dict[str, Any], said: str) -> None:
    with pytest.raises(TuningError, match=said) as caught:
        model(weights, asked(weights, tmp_path, **sections).settings)
    assert caught.value.reason == "ConfigInvalid"


@pytest.mark.parametrize(
    ("missing", "said"),
    [("tokenizer.json", "there is no tokenizer in"), ("model.safetensors", "the model in .* cannot be loaded: ")],
)
def test_weights_that_lack_something_are_told(weights: Path, tmp_path: Path, missing: str, said: str) -> None:
    def loads(folder: Path) -> None:
        tokenizer(folder, None)
        model(folder, asked(folder, tmp_path).settings)

    broken = Path(shutil.copytree(weights, tmp_path / "broken"))
    (broken / missing).unlink()
    with pytest.raises(TuningError, match=said) as caught:
        loads(broken)
    assert caught.value.reason == "ModelInvalid"


def test_a_chat_template_may_be_given(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("x")
    assert tokenizer(weights, str(tmp_path / "template")).chat_template == "x"
    with pytest.raises(TuningError, match=r"cannot be loaded: .*none"):
        tokenizer(weights, str(tmp_path / "none"))
