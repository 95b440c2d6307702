"""Weights of fewer bits, by bitsandbytes: smaller, and nearly the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from serving.backends.torch import Quantization, TransformersEngine
from serving.chat import GenerateOptions
from tests.unit.serving.tiny import make_model

PROMPT = [3, 1, 4, 1, 5]


@pytest.mark.parametrize(("quantization", "bits"), [("bnb-4bit", 4), ("bnb-8bit", 8)])
def test_linear_layers_have_so_many_bits_and_it_answers(tmp_path: Path, quantization: Quantization, bits: int) -> None:
    whole = make_model(tmp_path, heads=8, intermediate=128, scale=2)
    engine = TransformersEngine.load(tmp_path, "float32", quantization=quantization)
    weights = engine._model.model.layers[0].mlp.up_proj.weight
    full = whole.model.layers[0].mlp.up_proj.weight
    assert weights.numel() * weights.element_size() == full.numel() * bits // 8
    tokens = [token.id for token in engine.generate(PROMPT, GenerateOptions(do_sample=False), 6)]
    assert len(tokens) == 6
    with torch.inference_mode():
        before, after = (it(torch.tensor([PROMPT])).logits[0, -1] for it in (whole, engine._model))
    assert torch.nn.functional.cosine_similarity(before, after, dim=0) > 0.9
