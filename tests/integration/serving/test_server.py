"""The real model in the real process, over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.integration.serving.process import STARTS_WITHIN, STOPS_WITHIN, Server, free_port, serving, start, stop
from tests.questions import QUESTION
from tests.unit.serving.tiny import make_adapter

TINY = {
    "model_type": "llama",
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 8,
}


@pytest.fixture(scope="module")
def server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(weights, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


def test_it_is_unhealthy_with_a_reason_until_it_can_answer(server: Server) -> None:
    *before, last = server.statuses
    assert last == (200, "Healthy")
    assert before, "the port was not open before the model was there"
    assert all(code == 500 and "being loaded" in said for code, said in before)


def test_the_stages_of_its_start_are_logged_and_kept(server: Server) -> None:
    said = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    stages = {line["stage"]: line["seconds"] for line in said if line["event"] == "startup.stage"}
    assert list(stages) == ["load", "tokenizer", "warm"]
    (total,) = (line["seconds"] for line in said if line["event"] == "model.ready")
    assert 0 < sum(stages.values()) <= total
    told = httpx.get(f"{server.url}/metrics", timeout=5).text
    kept = dict(re.findall(r'^kaito_startup_seconds\{stage="(\w+)"\} (.+)$', told, re.MULTILINE))
    assert {name: round(float(value), 3) for name, value in kept.items()} == stages
    asked = httpx.get(f"{server.url}/startup", timeout=5).json()["stages"]
    assert {stage["name"]: stage["seconds"] for stage in asked} == stages


def test_a_plain_curl_gets_the_capital_of_france(server: Server) -> None:
    asked = ["curl", "-sS", f"{server.url}/chat", "-d", json.dumps({"prompt": QUESTION})]
    said = subprocess.run(asked, capture_output=True, check=True, timeout=60).stdout
    assert json.loads(said) == {"Result": "The capital of France is Paris."}


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": QUESTION}]},
        {"prompt": QUESTION, "generate_kwargs": {"num_beams": 2, "max_new_tokens": 12}},
        {"prompt": QUESTION, "generate_kwargs": {"temperature": 0.01, "top_k": 1, "max_length": 60}},
    ],
)
def test_other_ways_to_ask(server: Server, fields: dict[str, Any]) -> None:
    answer = server.chat(**fields)
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]


def test_the_answer_is_no_longer_than_asked_for(server: Server) -> None:
    answer = server.chat(prompt=QUESTION, generate_kwargs={"max_new_tokens": 3})
    assert answer.json()["Result"] == "The capital of"


def test_many_at_once_are_all_answered_and_the_probe_too(server: Server) -> None:
    with ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(server.chat, prompt=QUESTION) for _ in range(6)]
        health = httpx.get(f"{server.url}/health", timeout=5)
        said = [answer.result().json()["Result"] for answer in answers]
    assert health.status_code == 200
    assert said == ["The capital of France is Paris."] * 6


def test_a_prompt_longer_than_the_window_is_refused_with_the_numbers(server: Server) -> None:
    answer = server.chat(prompt="word " * 9000)
    assert answer.status_code == 400
    assert re.match(r"The prompt has 90\d\d tokens and the model holds 8192", answer.json()["error"])


def test_an_unknown_option_is_refused_by_name(server: Server) -> None:
    answer = server.chat(prompt=QUESTION, generate_kwargs={"temprature": 1})
    assert answer.status_code == 400
    assert "generate_kwargs.temprature is not known" in answer.json()["error"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "it has no config.json"),
        (TINY, "lack 11 tensors, the first lm_head.weight"),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_the_process_with_a_reason(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    if config:
        (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"model.norm.weight": np.ones(8, np.float32)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    log = tmp_path / "log"
    process = start(tmp_path, log, free_port())
    try:
        assert process.wait(STARTS_WITHIN) != 0
    finally:
        stop(process)
    assert said in log.read_text()
    assert "Traceback" not in log.read_text()


def test_told_to_stop_it_ends_in_time_and_answers_what_it_began(server: Server) -> None:
    """The last test of the file: it stops the server."""
    with ThreadPoolExecutor(1) as client:
        options = {"min_new_tokens": 24, "max_new_tokens": 24}
        answer = client.submit(server.chat, prompt="Tell me a story", generate_kwargs=options)
        wait_until_busy(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOPS_WITHIN) == 0
        assert answer.result().status_code == 200


def wait_until_busy(pid: int) -> None:
    """Until the server's worker computes: its CPU time (clock ticks) grows by a fifth of a second."""
    worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def ticks() -> int:
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    began, deadline, pause = ticks(), time.monotonic() + 10, threading.Event()
    while ticks() < began + 20:
        assert time.monotonic() < deadline
        pause.wait(0.02)


def test_an_adapter_and_a_config_change_what_it_says(weights: Path, tmp_path: Path) -> None:
    adapter = make_adapter(weights, tmp_path / "adapter")
    config = tmp_path / "inference_config.yaml"
    config.write_text("transformers: {generate_kwargs: {max_new_tokens: 3, do_sample: false}}\n")
    flags = (f"--adapter={adapter}=0.5", f"--config={config}")
    with serving(weights, tmp_path / "log", *flags) as changed:
        short = changed.chat(prompt=QUESTION).json()["Result"]
        longer = changed.chat(prompt=QUESTION, generate_kwargs={"max_new_tokens": 20}).json()["Result"]
    assert "Paris" not in longer, "its numbers are random"
    assert len(longer) > len(short), "the request goes before the file"


def test_an_adapter_that_is_not_there_ends_the_process_with_a_reason(weights: Path, tmp_path: Path) -> None:
    process = start(weights, tmp_path / "log", free_port(), f"--adapter={tmp_path}/no=1.0")
    try:
        assert process.wait(STARTS_WITHIN) != 0
    finally:
        stop(process)
    assert f"no adapter in {tmp_path}/no" in (tmp_path / "log").read_text()
