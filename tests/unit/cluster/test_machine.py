"""What the machine must have, and how the node's process is told from others and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import layout, machine
from tests.cluster.commands import wait_for
from tests.cluster.layout import Layout
from tests.cluster.machine import Machine


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Of a cluster whose link and cgroup nobody has: a real one may run beside these tests."""
    monkeypatch.setattr(layout, "INTERFACE", "kaito-none")
    monkeypatch.setattr(layout, "CGROUP", "kaito-none")
    where = Layout(tmp_path / "cluster")
    where.logs.mkdir(parents=True)
    return where


@pytest.fixture
def node(where: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the command line of a node's first."""
    waits = "import signal; signal.pause()"
    with subprocess.Popen([sys.executable, "-c", waits, "tests.cluster.init", str(where.state)]) as process:
        (where.node / "pid").write_text(str(process.pid))
        # The kernel shows a new program's command line a moment after it has begun.
        wait_for(lambda: Machine(where).pid == process.pid, lambda: "the process has no command line")
        yield process
        process.kill()


def test_a_node_is_known_by_its_pid_and_command(where: Layout, node: subprocess.Popen[bytes]) -> None:
    assert Machine(where).pid == node.pid
    assert Machine(where).inside(Path("/run/it")) == Path(f"/proc/{node.pid}/root/run/it")
    assert Machine(where).problem() == ""


@pytest.mark.parametrize("content", ["", "not a number", "1", "4194304000"])
def test_another_process_under_its_pid_is_not_the_node(where: Layout, content: str) -> None:
    (where.node / "pid").write_text(content)
    assert Machine(where).pid is None


def test_its_end_leaves_no_process_and_no_file(where: Layout, node: subprocess.Popen[bytes]) -> None:
    where.containerd.mkdir()
    Machine(where).end()
    Machine(where).end()
    assert node.wait(10) != 0
    assert list(where.state.iterdir()) == [where.containerd], "images are kept"


def test_a_node_that_ended_by_itself_says_why(where: Layout) -> None:
    (where.logs / "node.log").write_text("\n".join(["much", *["more"] * 20, "no space left"]))
    assert Machine(where).problem().endswith("no space left")


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("runc", "ip") else name)
    assert machine.lacks() == "the cluster needs iproute2, runc: install them with this machine's package manager"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert machine.lacks() == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs Linux and root" in machine.lacks()
