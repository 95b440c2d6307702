"""The real model in three processes, each on a node of its own as torchrun sees it, over gloo."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.integration.serving.process import free_port, until
from tests.questions import QUESTION

SIZE = 3  # what divides the model's nine heads, three of which hold keys and values
WITHIN = 180.0


@dataclass
class Node:
    """torchrun, as a pod's container runs it."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False


def start(rank: int, size: int, port: int, weights: Path, log: Path) -> Node:
    http = free_port()
    flags = [f"--nnodes={size}", "--nproc-per-node=1", f"--node-rank={rank}", "--master-addr=127.0.0.1"]
    flags += [f"--master-port={port}", "--max-restarts=0", "--module", "serving", f"--weights={weights}"]
    environment = {**os.environ, "PORT": str(http), "HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        argv = [sys.executable, "-m", "torch.distributed.run", *flags]
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=subprocess.STDOUT)
    return Node(process, f"http://127.0.0.1:{http}", log)


def stop(node: Node) -> None:
    """Told to, as a pod is; what does not end then is ended with all that it started."""
    if node.process.poll() is None:
        node.process.terminate()
        try:
            node.process.wait(30)
        except subprocess.TimeoutExpired:
            kill(node)


def kill(node: Node) -> None:
    """As a pod whose node is gone: torchrun and all below it, which torchrun gives sessions of their own."""
    for pid in [node.process.pid, *below(node.process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.process.wait()


def below(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from below(int(child))
        yield int(child)


@pytest.fixture(scope="module")
def gang(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    folder, port = tmp_path_factory.mktemp("gang"), free_port()
    nodes = [start(rank, SIZE, port, weights, folder / f"{rank}.log") for rank in range(SIZE)]
    try:
        until(lambda: all(node.healthy() for node in nodes), WITHIN)
        yield nodes
    finally:
        for node in nodes:
            stop(node)


def chat(node: Node, **options: object) -> httpx.Response:
    return httpx.post(f"{node.url}/chat", json={"prompt": QUESTION, "generate_kwargs": options}, timeout=120)


def test_together_they_say_what_one_says(gang: list[Node]) -> None:
    answer = chat(gang[0], do_sample=False, max_new_tokens=12)
    assert answer.json() == {"Result": "The capital of France is Paris."}


def test_they_take_the_same_steps_where_chance_decides(gang: list[Node]) -> None:
    for length in (3, 5, 4):
        answer = chat(gang[0], temperature=2.0, top_k=0, max_new_tokens=length)
        assert answer.status_code == 200, answer.text
    assert chat(gang[0], do_sample=False, max_new_tokens=12).json() == {"Result": "The capital of France is Paris."}


def test_another_than_the_first_sends_one_there(gang: list[Node]) -> None:
    answer = chat(gang[1])
    assert answer.status_code == 400
    assert "Ask the first pod" in answer.json()["error"]


def test_when_one_is_gone_all_end(gang: list[Node]) -> None:
    kill(gang[2])
    until(lambda: all(node.process.poll() is not None for node in gang), WITHIN)
    assert all(node.process.returncode for node in gang), "so that kubelet starts them anew"


def test_too_many_for_its_heads_are_refused(weights: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "PORT": str(free_port())}
    log = tmp_path / "log"
    with log.open("wb") as output:
        argv = [sys.executable, "-m", "serving", f"--weights={weights}"]
        process = subprocess.Popen(argv, env={**environment, "HOST": "127.0.0.1"}, stdout=output, stderr=output)
    try:
        assert process.wait(WITHIN) != 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "9 and 3 heads, which 2 processes cannot share; 1, 3 can" in log.read_text()
