"""``python -m training`` as processes: killed and started again, two at once, and the real model's chat template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tests.unit.training.tiny import ADAPTER_FILES, asked, config, make_weights, write_rows
from training.examples import IGNORED, Columns, example
from training.failure import EXIT_CODE
from training.model import tokenizer
from training.train import train

WITHIN = 240.0  # seconds; 10 on two idle cores


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("tiny"))


@contextmanager
def started(weights: Path, folder: Path, *launcher: str, **sections: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A tuning in ``folder``; it is ended with the block, if it has not ended before."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config("lora", **sections))
    data = write_rows(folder / "data")
    flags = ["--weights", weights, "--name", "tiny", "--data", data, "--config", folder / "config.yaml"]
    more = ["--method", "lora", "--output", folder / "results"]
    argv = [sys.executable, "-m", *(launcher or ("training",)), *map(str, flags + more)]
    environment = {"HOST": "127.0.0.1", "PORT": "0", "TERMINATION_LOG": str(folder / "words"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(argv, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Its log, when it has ended."""
    output, _ = process.communicate(timeout=WITHIN)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def until(holds: Callable[[], bool]) -> None:
    deadline, never = time.monotonic() + WITHIN, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        never.wait(0.005)


def words(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "words").read_text())
    return found


def steps(log: Sequence[dict[str, Any]]) -> list[int]:
    return [line["step"] for line in log if line["event"] == "training.progress"]


def losses(log: Sequence[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in log if line["event"] == "training.progress"]


def test_a_tuning_that_is_killed_goes_on_from_its_checkpoint(tiny: Path, tmp_path: Path) -> None:
    long: dict[str, dict[str, Any]] = {
        "arguments": {"num_train_epochs": 12, "save_strategy": "steps", "save_steps": 4},
        "lora": {"lora_dropout": 0.1},
    }
    results = tmp_path / "cut" / "results"
    with started(tiny, tmp_path / "cut", **long) as process:
        until(lambda: any(results.glob("checkpoint-*/whole.json")) or process.poll() is not None)
        process.kill()
        assert process.wait() == -9, "it was killed in the midst of it"
    assert not (results / "adapter").exists()
    with started(tiny, tmp_path / "cut", **long) as process:
        log = said(process)
    assert process.returncode == 0
    (resumed,) = [line for line in log if line["event"] == "training.resumed"]
    done = int(resumed["checkpoint"].removeprefix("checkpoint-"))
    assert steps(log) == list(range(done, 97)), "it says where it was, and goes on"
    assert {path.name for path in (results / "adapter").iterdir()} == ADAPTER_FILES
    last = words(tmp_path / "cut")
    assert (last["reason"], last["permanent"]) == ("Trained", False)
    assert json.loads(last["message"])["adapter"] == str(results / "adapter")
    with started(tiny, tmp_path / "whole", **long) as process:
        assert steps(said(process)) == list(range(1, 97))
    whole = tmp_path / "whole" / "results"
    same, other = (load_file(it / "adapter" / "adapter_model.safetensors") for it in (whole, results))
    assert same.keys() == other.keys()
    assert all((same[name] == other[name]).all() for name in same)


def test_two_processes_learn_as_one_of_twice_the_batch_does(tiny: Path, tmp_path: Path) -> None:
    two: dict[str, Any] = {"num_train_epochs": 2, "per_device_train_batch_size": 2}
    with started(tiny, tmp_path / "two", "training.launch", "--processes=2", arguments=two) as process:
        log = said(process)
    assert process.returncode == 0
    assert steps(log) == [1, 2, 3, 4], "one of them tells it"
    told: list[float] = []
    one = asked(tiny, tmp_path / "one", arguments={**two, "per_device_train_batch_size": 4})
    alone = train(one, lambda reached: told.append(reached.loss or 0.0))
    assert losses(log) == pytest.approx([told[number] for number in (2, 4, 6, 8)], abs=1e-3)
    results = tmp_path / "two" / "results"
    assert {path.name for path in (results / "adapter").iterdir()} == ADAPTER_FILES
    same, other = (load_file(it / "adapter_model.safetensors") for it in (alone.adapter, results / "adapter"))
    assert all(same[name] == pytest.approx(other[name], abs=1e-4) for name in same)
    assert {path.name for path in results.glob("checkpoint-4/rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}


def test_what_only_a_person_can_mend_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    with started(tmp_path / "none", tmp_path, "training.launch", "--processes=1") as process:
        log = said(process)
    assert process.returncode == EXIT_CODE
    (failed,) = log
    assert (failed["event"], failed["reason"]) == ("training.failed", "ModelInvalid")
    message = f"there is no model in {tmp_path / 'none'}: it has no config.json."
    assert words(tmp_path) == {"stage": "train", "reason": "ModelInvalid", "message": message, "permanent": True}


def test_answers_are_told_from_questions_in_the_real_models_chat_template(weights: Path) -> None:
    found = tokenizer(weights, None)
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is KAITO?"},
        {"role": "assistant", "content": "It runs models."},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "On Kubernetes."},
    ]
    made = example({"messages": turns}, Columns(messages="messages"), found, answers_only=True)
    whole = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is KAITO?<|im_end|>\n"
        "<|im_start|>assistant\nIt runs models.<|im_end|>\n<|im_start|>user\nWhere?<|im_end|>\n"
        "<|im_start|>assistant\nOn Kubernetes.<|im_end|>\n"
    )
    assert made.ids == found.encode(whole)
    learned, rest = list[int](), list[int]()
    for number, label in zip(made.ids, made.labels, strict=True):
        (rest if label == IGNORED else learned).append(number)
        assert label in (IGNORED, number)
    answers = "It runs models.<|im_end|>\n", "On Kubernetes.<|im_end|>\n"
    assert found.decode(learned) == "".join(answers)
    assert found.decode(rest) == whole.replace(answers[0], "").replace(answers[1], "")
    everything = example({"messages": turns}, Columns(messages="messages"), found, answers_only=False)
    assert everything.labels == everything.ids == made.ids
