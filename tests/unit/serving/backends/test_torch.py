"""What transformers is told, by what a request named. The engine itself runs in tests/integration/serving."""

from __future__ import annotations

from typing import Any

import pytest

from serving.backends.torch import _arguments
from serving.chat import GenerateOptions

ALWAYS = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0}
SAMPLING = {"do_sample": True, "temperature": 1.0, "top_k": 10, "top_p": 1.0, "typical_p": 1.0, "min_p": None}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (GenerateOptions(), ALWAYS | SAMPLING),
        (GenerateOptions(temperature=0.5, top_k=0), ALWAYS | SAMPLING | {"temperature": 0.5, "top_k": 0}),
        (GenerateOptions(temperature=0), ALWAYS | {"do_sample": False}),
        (GenerateOptions(do_sample=False, temperature=0.5), ALWAYS | {"do_sample": False}),
        (
            GenerateOptions(do_sample=False, num_beams=4, early_stopping=True),
            ALWAYS | {"do_sample": False, "num_beams": 4, "early_stopping": True, "length_penalty": 1.0},
        ),
    ],
)
def test_only_what_applies_is_told(options: GenerateOptions, told: dict[str, Any]) -> None:
    assert _arguments(options) == told


def test_the_least_answer_goes_before_the_least_length() -> None:
    told = _arguments(GenerateOptions(min_new_tokens=5, min_length=9))
    assert told["min_new_tokens"] == 5
    assert "min_length" not in told
