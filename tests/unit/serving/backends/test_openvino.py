"""What OpenVINO is told, by what a request named. The engine itself runs in tests/integration/serving."""

from __future__ import annotations

from typing import Any

import pytest

from serving.backends.openvino import OpenVinoEngine
from serving.chat import GenerateOptions, RequestError


def told(options: GenerateOptions, prompt: int = 10, new_tokens: int = 20) -> Any:
    return OpenVinoEngine.config(options, {2}, prompt, new_tokens)


def test_lengths_and_ends() -> None:
    config = told(GenerateOptions(min_length=15))
    assert (config.max_new_tokens, config.min_new_tokens) == (20, 5)
    assert (config.stop_token_ids, config.eos_token_id) == ({2}, 2)
    assert told(GenerateOptions(min_length=15, min_new_tokens=30)).min_new_tokens == 20, "no more than all"
    assert OpenVinoEngine.config(GenerateOptions(), set(), 1, 1).eos_token_id == -1


def test_how_tokens_are_chosen() -> None:
    likeliest = told(GenerateOptions(do_sample=False, temperature=0.5))
    assert likeliest.is_greedy_decoding()
    sampled = told(GenerateOptions(temperature=0.5, top_p=0.9, top_k=7, min_p=0.1, seed=3, repetition_penalty=1.1))
    assert sampled.is_multinomial()
    chosen = (sampled.temperature, sampled.top_p, sampled.min_p, sampled.repetition_penalty)
    assert chosen == pytest.approx((0.5, 0.9, 0.1, 1.1))
    assert (sampled.top_k, sampled.rng_seed) == (7, 3)
    assert told(GenerateOptions(top_k=0)).top_k > 32_000, "all of them"
    beams = told(GenerateOptions(do_sample=False, num_beams=3, no_repeat_ngram_size=2, length_penalty=0.5))
    assert beams.is_beam_search()
    assert (beams.num_beams, beams.no_repeat_ngram_size, beams.length_penalty) == (3, 2, 0.5)


def test_an_answer_is_held_to_a_schema() -> None:
    config = told(GenerateOptions(json_schema={"type": "integer", "title": "a number"}))
    assert config.structured_output_config.json_schema == '{"type": "integer"}'
    assert told(GenerateOptions()).structured_output_config is None


def test_without_a_seed_each_is_another() -> None:
    assert told(GenerateOptions()).rng_seed != told(GenerateOptions()).rng_seed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (GenerateOptions(typical_p=0.5), "typical_p is not known to this backend, openvino"),
        (GenerateOptions(no_repeat_ngram_size=2), "needs num_beams over 1"),
        (GenerateOptions(num_beams=2, do_sample=True), "generate_kwargs cannot be so: "),
    ],
)
def test_what_it_has_not_is_refused(options: GenerateOptions, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        told(options)
