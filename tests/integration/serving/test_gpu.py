"""What only a GPU can show; skipped, and said to be, where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.integration.serving.process import Server, figure, serving
from tests.questions import QUESTION, QUESTIONS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@pytest.fixture(scope="module", params=["", "bnb-4bit", "bnb-8bit"])
def server(weights: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("gpu")
    config = folder / "inference_config.yaml"
    config.write_text(f"transformers: {{quantization: {request.param or 'null'}}}\n")
    with serving(weights, folder / "log", f"--config={config}") as running:
        yield running


def test_by_itself_it_takes_torch_on_the_gpu(server: Server) -> None:
    assert server.backend == "torch"
    assert '"device": "cuda:0"' in server.log.read_text()
    assert figure(server, "kaito_gpu_memory_bytes") > 0


def test_many_at_once_get_their_own_answers(server: Server) -> None:
    asked = [*QUESTIONS] * 4
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda it: server.chat(prompt=it).json()["Result"], asked))
    right = sum(QUESTIONS[question] in answer for question, answer in zip(asked, answers, strict=True))
    assert right >= len(asked) // 2, "bfloat16 and few bits flip near ties of a model so small"
    if "bnb" not in server.log.read_text():
        assert "Paris" in server.chat(prompt=QUESTION).json()["Result"]
