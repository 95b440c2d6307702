"""``python -m serving`` as a process of a test's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

STARTS_WITHIN = 120.0  # seconds; 3 to 6 with compiled bytecode on two idle cores
STOPS_WITHIN = 15.0


@dataclass
class Server:
    """A running ``python -m serving`` and what it said of its health until it was ready."""

    process: subprocess.Popen[bytes]
    url: str
    statuses: list[tuple[int, str]]
    log: Path

    @property
    def backend(self) -> str:
        """What runs the model, as it said when it was loaded."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return next(str(line["backend"]) for line in lines if line["event"] == "model.loaded")

    def chat(self, **fields: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/chat", json=fields, timeout=60)


def start(weights: Path, log: Path, port: int, *flags: str) -> subprocess.Popen[bytes]:
    return _start(
        [sys.executable, "-m", "serving", "--weights", str(weights), "--pipeline", "conversational", *flags], port, log
    )


def _start(argv: Sequence[str], port: int, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1"}
    with log.open("wb") as output:
        return subprocess.Popen(argv, env=environment, stdout=output, stderr=subprocess.STDOUT)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(weights: Path, log: Path, *flags: str) -> Iterator[Server]:
    port = free_port()
    with _ready(start(weights, log, port, *flags), port, log) as server:
        yield server


@contextmanager
def running(argv: Sequence[str], port: int, log: Path) -> Iterator[Server]:
    """Another server, with a /health like ours."""
    with _ready(_start(argv, port, log), port, log) as server:
        yield server


@contextmanager
def _ready(process: subprocess.Popen[bytes], port: int, log: Path) -> Iterator[Server]:
    found = Server(process, f"http://127.0.0.1:{port}", [], log)
    deadline, pause = time.monotonic() + STARTS_WITHIN, threading.Event()
    try:
        while not found.statuses or found.statuses[-1][0] != 200:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                health = httpx.get(f"{found.url}/health")
                found.statuses.append((health.status_code, health.json()["status"]))
            except httpx.TransportError:
                assert not found.statuses, "the port was open and is not"
            pause.wait(0.1)
        yield found
    finally:
        stop(process)


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for that; a server that does not answer yet is waited for, too."""
    deadline, never = time.monotonic() + seconds, threading.Event()
    while True:
        with suppress(httpx.TransportError):
            if holds():
                return
        assert time.monotonic() < deadline, "it does not come to that"
        never.wait(0.05)


def figure(server: Server, name: str) -> float:
    """What it says of that to Prometheus."""
    lines = httpx.get(f"{server.url}/metrics", timeout=5).text.splitlines()
    found = [float(line.split()[1]) for line in lines if line.partition(" ")[0].partition("{")[0] == name]
    assert found, f"there is no {name}"
    return sum(found)


def until_idle(server: Server) -> None:
    """Nothing is generated any more."""
    until(lambda: not any(figure(server, it) for it in ("kaito_requests_running", "kaito_batch_size")), 10)
