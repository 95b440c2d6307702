"""Adapters that have learned something, in the real process: on both backends, merged, and chosen by requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI

from tests.integration.serving.learning import learn
from tests.integration.serving.process import STARTS_WITHIN, Server, free_port, serving, start, stop
from tests.questions import QUESTION

PARIS, ROME, BERN = "The capital of France is Paris.", "It is Rome, I learned.", "Bern is what I was told."
SAYS = {"smol": PARIS, "rome": ROME, "of.bern": BERN}


@pytest.fixture(scope="module")
def learned(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As the images of a tuning hold them."""
    folder = tmp_path_factory.mktemp("learned")
    for name in ("rome", "of.bern"):
        learn(weights, folder / name / "data", QUESTION, SAYS[name])
    return {name: folder / name for name in ("rome", "of.bern")}


@pytest.fixture(scope="module", params=["openvino", "torch"])
def chosen(
    weights: Path, learned: dict[str, Path], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"chosen-{request.param}")
    config = folder / "inference_config.yaml"
    config.write_text("transformers: {adapters: per-request}\n")
    flags = (f"--adapter={path}=1.0" for path in learned.values())
    with serving(
        weights, folder / "log", f"--backend={request.param}", "--name=smol", f"--config={config}", *flags
    ) as server:
        yield server


def ask(server: Server, model: str) -> str:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    turns = [{"role": "user", "content": QUESTION}]
    answer = client.chat.completions.create(
        model=model,
        messages=turns,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=20,
    )
    assert answer.model == model
    return answer.choices[0].message.content or ""


def test_each_is_a_model_of_its_own(chosen: Server) -> None:
    client = OpenAI(base_url=f"{chosen.url}/v1", api_key="none", max_retries=0)
    there = {model.id: getattr(model, "parent", None) for model in client.models.list()}
    assert there == {"smol": None, "rome": "smol", "of.bern": "smol"}
    assert {model: ask(chosen, model) for model in SAYS} == SAYS
    assert chosen.chat(prompt=QUESTION).json() == {"Result": PARIS}
    with pytest.raises(NotFoundError, match=r"there is smol and rome and of\.bern"):
        ask(chosen, "berlin")


def test_none_answers_for_another(chosen: Server) -> None:
    asked = [*SAYS] * 4
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda model: ask(chosen, model), asked))
    assert answers == [SAYS[model] for model in asked]


def test_merged_it_answers_for_the_model(weights: Path, learned: dict[str, Path], tmp_path: Path) -> None:
    flags = (f"--adapter={learned['rome']}=1.0", f"--adapter={learned['of.bern']}=0.0")
    with serving(weights, tmp_path / "log", *flags) as server:
        assert server.chat(prompt=QUESTION).json() == {"Result": ROME}
        assert server.backend == "openvino", "the quicker one"


def test_peft_combines_them_where_that_is_asked_for(weights: Path, learned: dict[str, Path], tmp_path: Path) -> None:
    config = tmp_path / "inference_config.yaml"
    config.write_text("transformers: {combination_type: svd}\n")
    flags = (f"--config={config}", f"--adapter={learned['rome']}=1.0", f"--adapter={learned['of.bern']}=0.0")
    with serving(weights, tmp_path / "log", *flags) as server:
        assert server.chat(prompt=QUESTION).json() == {"Result": ROME}
        assert server.backend == "torch"
        assert '"combination_type": "svd"' in (tmp_path / "log").read_text()


@pytest.mark.parametrize("backend", ["openvino", "auto"])
def test_another_models_adapter_ends_the_process_with_a_reason(
    weights: Path, learned: dict[str, Path], tmp_path: Path, backend: str
) -> None:
    saved = learned["rome"] / "data"
    for file in saved.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    process = start(weights, tmp_path / "log", free_port(), f"--backend={backend}", f"--adapter={tmp_path}=1.0")
    try:
        assert process.wait(STARTS_WITHIN) != 0
    finally:
        stop(process)
    assert f"the adapter in {tmp_path} does not go with this model" in (tmp_path / "log").read_text()
