from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog.testing

from kaito.embedded import supervisor
from kaito.embedded.process import Process, ProcessTable
from kaito.embedded.supervisor import Supervised

Until = Callable[[Callable[[], bool]], None]


class Starts:
    """Starts a program and keeps every process it made; ``broken`` takes the program away."""

    def __init__(self, table: ProcessTable, *argv: str) -> None:
        self.made: list[Process] = []
        self.broken = threading.Event()
        self._table, self._argv = table, argv

    def __call__(self) -> Process:
        if self.broken.is_set():
            raise FileNotFoundError("no such program")
        self.made.append(self._table.start("it", self._argv))
        return self.made[-1]

    def running(self) -> list[int]:
        return [process.pid for process in self.made if process.exit_code is None]


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(ProcessTable(tmp_path), "sleep", "600")


@pytest.fixture
def child(starts: Starts) -> Iterator[Supervised]:
    child = Supervised(starts)
    child.watch()
    yield child
    child.stop()
    assert starts.running() == []


def test_what_ends_is_started_again(child: Supervised, starts: Starts, until: Until) -> None:
    for _ in range(2):
        killed = child.process
        os.kill(killed.pid, signal.SIGKILL)
        until(lambda killed=killed: child.process is not killed)  # type: ignore[misc]
        assert starts.running() == [child.process.pid]
        assert child.ended is None


def test_a_restart_makes_one_process(child: Supervised, starts: Starts, until: Until) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: child.restart(), range(20)))
    assert len(starts.made) == 21, "none of these ends was taken for a crash"
    assert starts.running() == [child.process.pid]
    child.process.kill()
    until(lambda: len(starts.made) == 22)


def test_a_program_that_is_gone_for_a_while(child: Supervised, starts: Starts, until: Until) -> None:
    with structlog.testing.capture_logs() as said:
        starts.broken.set()
        child.process.kill()
        until(lambda: any(entry["event"] == "process not started" for entry in said))
        starts.broken.clear()
        until(lambda: bool(starts.running()))


def test_pauses_grow_and_a_stop_ends_them(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    starts = Starts(ProcessTable(tmp_path), "sh", "-c", "echo it is broken; exit 3")
    with structlog.testing.capture_logs() as said:
        child = Supervised(starts)
        child.watch()
        until(lambda: len(starts.made) > 5)
        child.stop()
    made = len(starts.made)
    assert [entry["again_in"] for entry in said[:5]] == [0.01, 0.02, 0.04, 0.08, 0.16]
    assert (said[0]["process"], said[0]["exit_code"]) == ("it", 3)
    assert "it is broken" in said[0]["log"]
    child.stop()
    assert len(starts.made) == made


def test_before_it_is_watched_an_end_is_an_end(tmp_path: Path) -> None:
    child = Supervised(Starts(ProcessTable(tmp_path), "sh", "-c", "exit 3"))
    child.process.wait()
    assert child.ended == 3
    child.stop()
