"""The kaito command in a terminal of its own: up, killed, up again, status, down; and the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaito.api.resources import NODE, WORKSPACE
from kaito.embedded.lock import holder
from kaito.runtime.kube import Kube
from tests.e2e.conftest import example, processes_of, until
from tests.registry import INSTALLED

KAITO = [sys.executable, "-c", "from kaito.cli import main; main()"]


def kaito(*words: str, cwd: Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KAITO, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=seconds)


class Terminal:
    """One `kaito up` in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / ".kaito"
        self.process = subprocess.Popen([*KAITO, "up"], cwd=directory, stdout=subprocess.PIPE, text=True)
        lines = iter(self.process.stdout or ())
        self.greeting = next((line for line in lines if "The platform is up" in line), None)
        assert self.greeting, (directory / ".kaito" / "logs" / "platform.log").read_text()

    @property
    def kube(self) -> Kube:
        return Kube.from_kubeconfig(self.state / "kubeconfig")

    def running(self) -> dict[int, list[str]]:
        return processes_of(self.state)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    terminals: list[Terminal] = []

    def start(name: str) -> Terminal:
        (tmp_path / name).mkdir(exist_ok=True)
        terminals.append(Terminal(tmp_path / name))
        return terminals[-1]

    yield start
    for terminal in terminals:
        if terminal.process.poll() is None:
            terminal.process.terminate()
    for terminal in terminals:
        terminal.process.wait(60)
        terminal.process.stdout.close()  # type: ignore[union-attr]
    until(lambda: not any(terminal.running() for terminal in terminals), what="the end of all processes")


def test_a_killed_platform_leaves_nothing_and_the_next_goes_on_where_it_was(up: Callable[[str], Terminal]) -> None:
    first = up("here")
    first.kube.apply(example("phi-3-mini"), manager="user")
    (node,) = until(lambda: first.kube.list(NODE).items, what="its node")
    assert any("kube-apiserver" in command[0] for command in first.running().values())
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    until(lambda: not first.running(), what="the end of all processes")

    second = up("here")
    (workspace,) = second.kube.list(WORKSPACE).items
    assert workspace["metadata"]["name"] == "workspace-phi-3-mini"
    assert [n["metadata"]["uid"] for n in second.kube.list(NODE).items] == [node["metadata"]["uid"]]
    said = kaito("status", cwd=second.directory)
    assert said.returncode == 0, said.stdout
    assert str(second.process.pid) in said.stdout
    assert "workspace-phi-3-mini" in said.stdout

    assert kaito("down", cwd=second.directory).returncode == 0
    assert second.process.wait(5) == 0
    assert kaito("status", cwd=second.directory).returncode == 1
    assert kaito("down", "--purge", cwd=second.directory).returncode == 0
    assert not second.state.exists()


def test_two_at_once_do_not_disturb_each_other(up: Callable[[str], Terminal], tmp_path: Path) -> None:
    one, two = up("one"), up("two")
    one.kube.apply(example("phi-3-mini"), manager="user")
    until(lambda: one.kube.list(NODE).items, what="its node")
    assert two.kube.list(NODE).items == ()
    assert two.kube.list(WORKSPACE).items == ()

    refused = kaito("up", cwd=tmp_path / "one")
    assert refused.returncode == 1
    assert "runs in" in refused.stderr
    assert "kaito down" in refused.stderr
    assert holder(one.state / "lock") == one.process.pid


@pytest.mark.parametrize(("cloud", "asked"), [("local", False), ("arm", True)])
def test_the_demo_tells_the_whole_story(tmp_path: Path, cloud: str, *, asked: bool) -> None:
    told = kaito("demo", "--cloud", cloud, cwd=tmp_path)
    assert told.returncode == 0, told.stdout
    figures = json.loads(told.stdout.splitlines()[-1])
    assert figures["ok"] is True
    assert "Paris" in figures["answer"]
    assert figures["seconds"] > 0
    assert {"platform", "apply", "nodes", "ready", "answer", "cleanup"} <= figures["stages"].keys()
    assert "no NVIDIA GPU here" in told.stdout
    assert ("Azure: PUT agentPools/ws" in told.stdout) is asked
    assert ("Azure: DELETE agentPools/ws" in told.stdout) is asked


@pytest.mark.skipif(not INSTALLED, reason="there is no docker-registry: make test-packages")
@pytest.mark.timeout(600)
def test_what_is_tuned_answers_otherwise(tmp_path: Path) -> None:
    told = kaito("demo", "--tuning", cwd=tmp_path, seconds=500)
    assert told.returncode == 0, told.stdout
    figures = json.loads(told.stdout.splitlines()[-1])
    assert figures["ok"] is True
    assert "Kubernetes" in figures["after"]
    assert "Kubernetes" not in figures["before"]
    assert figures["digest"].startswith("sha256:")
    assert "TuningProgress" in told.stdout


@pytest.mark.parametrize("words", [("status",), ("down",)])
def test_where_there_is_no_platform_it_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    said = kaito(*words, cwd=tmp_path)
    assert said.returncode == (1 if words == ("status",) else 0)
    assert "platform" in said.stdout
