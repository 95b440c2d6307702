"""A batch says what each request alone is told by transformers' ``generate``, and one hurts no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.backends.torch import TransformersEngine
from serving.chat import GenerateOptions
from tests.integration.serving.process import until
from tests.unit.serving.tiny import VOCABULARY, make_model

GREEDY = GenerateOptions(do_sample=False)
PROMPTS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7, 9], [3, 2, 3, 8, 4]]
DEADLINE = 20.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersEngine]:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    engine = TransformersEngine.load(folder, "float32")
    assert engine._batching is not None
    yield engine
    engine._batching._manager.stop()


def alone(engine: TransformersEngine, ids: Sequence[int], new_tokens: int, **options: Any) -> list[int]:
    prompt = torch.tensor([list(ids)])
    made = engine._model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new_tokens, do_sample=False, **options
    )
    return list(made[0, len(ids) :].tolist())


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 5},
    ],
)
def test_each_of_many_at_once_is_what_it_is_alone(engine: TransformersEngine, named: dict[str, Any]) -> None:
    options = GenerateOptions(do_sample=False, **named)
    begun = [(ids, 5 + turn, engine.generate(ids, options, 5 + turn)) for turn in range(3) for ids in PROMPTS]
    for ids, new_tokens, stream in begun:
        assert [token.id for token in stream] == alone(engine, ids, new_tokens, **named)


def test_each_has_its_own_way_to_choose(engine: TransformersEngine) -> None:
    wild = GenerateOptions(temperature=2.0, top_k=0, seed=7)
    streams = [engine.generate(PROMPTS[0], options, 12) for options in (GREEDY, wild, wild, GREEDY)]
    first, second, third, fourth = ([token.id for token in stream] for stream in streams)
    assert first == fourth == alone(engine, PROMPTS[0], 12)
    assert second == third, "of one seed"
    assert second != first


def test_what_is_sampled_is_distributed_as_the_model_says(engine: TransformersEngine) -> None:
    with torch.inference_mode():
        logits = engine._model(torch.tensor([PROMPTS[0]])).logits[0, -1]
    expected = (logits / 3).softmax(-1)
    options = GenerateOptions(temperature=3.0, top_k=0)
    made = [engine.generate(PROMPTS[0], options, 1) for _ in range(600)]
    seen = torch.bincount(torch.tensor([next(iter(stream)).id for stream in made]), minlength=VOCABULARY) / 600
    assert (seen - expected).abs().max() < 0.08, "four standard deviations of the likeliest"


def test_how_likely_each_was_is_told(engine: TransformersEngine) -> None:
    tokens = list(engine.generate(PROMPTS[0], GREEDY, 4, likeliest=2))
    ids = list(PROMPTS[0])
    for token in tokens:
        with torch.inference_mode():
            expected = engine._model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert token.logprob == pytest.approx(expected[token.id].item(), abs=1e-4)
        assert [it for it, _ in token.likeliest] == expected.topk(2).indices.tolist()
        ids.append(token.id)


def test_an_end_token_ends_it(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    prompt = torch.tensor([PROMPTS[0]])
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False)[0, 5:]
    model.generation_config.eos_token_id = int(made[3])
    model.save_pretrained(tmp_path)
    engine = TransformersEngine.load(tmp_path, "float32")
    assert engine._batching is not None
    expected = made.tolist()[: made.tolist().index(int(made[3])) + 1]
    assert [token.id for token in engine.generate(PROMPTS[0], GREEDY, 8)] == expected
    engine._batching._manager.stop()


def test_what_is_closed_makes_room(engine: TransformersEngine) -> None:
    assert engine._batching is not None
    stream = engine.generate(PROMPTS[1], GREEDY, 60)
    next(stream)
    stream.close()
    assert len(list(stream)) < 59
    batching = engine._batching
    until(lambda: not batching._jobs, DEADLINE)
    assert [token.id for token in engine.generate(PROMPTS[1], GREEDY, 6)] == alone(engine, PROMPTS[1], 6)
    processor = batching._manager.batch_processor
    assert processor.cache.get_num_free_blocks() == processor.cache.num_blocks


def test_what_the_batch_is_not_for_is_done_by_generate(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._batching is not None
    monkeypatch.setattr(engine._batching, "add", lambda *_: pytest.fail("it is in the batch"))
    beams = GenerateOptions(do_sample=False, num_beams=3)
    assert [it.id for it in engine.generate(PROMPTS[0], beams, 6)] == alone(engine, PROMPTS[0], 6, num_beams=3)
    monkeypatch.setattr(engine._batching, "fits", lambda tokens: tokens < 10)
    assert [it.id for it in engine.generate(PROMPTS[0], GREEDY, 6)] == alone(engine, PROMPTS[0], 6)


def test_a_step_that_fails_is_told_to_all_of_the_batch_and_to_nobody_after(engine: TransformersEngine) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("out of memory")

    assert engine._batching is not None
    healthy = engine.generate(PROMPTS[0], GREEDY, 50)
    next(healthy)
    job = next(iter(engine._batching._jobs.values()))
    job.process = breaks
    with pytest.raises(RuntimeError, match="out of memory"):
        list(healthy)
    assert [token.id for token in engine.generate(PROMPTS[2], GREEDY, 6)] == alone(engine, PROMPTS[2], 6)
