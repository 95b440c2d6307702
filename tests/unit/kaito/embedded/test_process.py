from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kaito.embedded.process import Process, ProcessTable

#: Says its own pid and its child's, then both wait to be ended.
FAMILY = "sleep 600 & echo $$ $!; wait"

PLATFORM = """
import sys
from pathlib import Path
from kaito.embedded import process
if sys.argv[3] == "without setpriv":
    process._DIE_WITH_PARENT = ()
table = process.ProcessTable(Path(sys.argv[1]))
table.start("family", ["sh", "-c", sys.argv[2]])
print("started", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def table(tmp_path: Path) -> ProcessTable:
    return ProcessTable(tmp_path)


def alive(pid: int) -> bool:
    """Not a zombie either: who has been killed and not yet been reaped is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def family(log: Path, until: Callable[[Callable[[], bool]], None]) -> list[int]:
    until(lambda: log.exists() and len(log.read_text().split()) == 2)
    return [int(pid) for pid in log.read_text().split()]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", -9), ("kill -TERM $$", -15)]
)
def test_exit_code(table: ProcessTable, script: str, code: int) -> None:
    process = table.start("it", ["sh", "-c", script])
    assert process.wait(10) == code
    assert process.exit_code == code
    process.stop()
    assert process.exit_code == code, "known after it was reaped too"


def test_a_running_process_has_no_exit_code_and_wait_times_out(table: ProcessTable) -> None:
    process = table.start("it", ["sleep", "600"])
    assert process.exit_code is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.stop()
    assert process.exit_code == -signal.SIGTERM


def test_stop_ends_the_whole_group(
    table: ProcessTable, tmp_path: Path, until: Callable[[Callable[[], bool]], None]
) -> None:
    process = table.start("family", ["sh", "-c", FAMILY])
    pids = family(process.log, until)
    process.stop()
    until(lambda: not any(map(alive, pids)))
    assert process.exit_code == -signal.SIGTERM


def test_stop_kills_what_ignores_it(table: ProcessTable, until: Callable[[Callable[[], bool]], None]) -> None:
    process = table.start("deaf", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done"])
    until(lambda: process.tail() == "ready")
    process.stop(grace=0.1)
    assert process.exit_code == -signal.SIGKILL


def test_a_crashed_leader_keeps_its_pid_until_stop_which_ends_its_group(
    table: ProcessTable, until: Callable[[Callable[[], bool]], None]
) -> None:
    process = table.start("family", ["sh", "-c", FAMILY])
    leader, child = family(process.log, until)
    os.kill(leader, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert alive(child)
    assert Path(f"/proc/{leader}").exists()
    process.stop()
    until(lambda: not alive(child))
    assert not Path(f"/proc/{leader}").exists()


def test_stop_twice_is_stop_once(table: ProcessTable) -> None:
    process = table.start("it", ["sleep", "600"])
    process.stop()
    process.stop()
    process.kill()
    assert process.exit_code == -signal.SIGTERM


def test_no_such_program(table: ProcessTable) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        table.start("it", ["no-such-program"])


def test_tail_is_the_end_of_both_outputs(table: ProcessTable) -> None:
    process = table.start("it", ["sh", "-c", "echo one; echo two; echo three >&2"])
    process.wait(10)
    assert process.tail(2) == "two\nthree"
    process.stop()


def test_env_and_cwd(table: ProcessTable, tmp_path: Path) -> None:
    process = table.start(
        "it", ["sh", "-c", "echo $PWD $MARK"], env={"PATH": os.environ["PATH"], "MARK": "7"}, cwd=tmp_path
    )
    process.wait(10)
    assert process.tail() == f"{tmp_path} 7"
    process.stop()


@pytest.mark.parametrize("how", ["with setpriv", "without setpriv"])
def test_a_killed_platform_leaves_nothing(
    tmp_path: Path, how: str, until: Callable[[Callable[[], bool]], None]
) -> None:
    platform = subprocess.Popen(
        [sys.executable, "-c", PLATFORM, str(tmp_path), FAMILY, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert platform.stdout is not None
    assert platform.stdin is not None
    assert platform.stdout.readline() == b"started\n"
    pids = family(tmp_path / "logs" / "family.log", until)
    platform.kill()
    platform.wait()
    platform.stdin.close()
    platform.stdout.close()

    elsewhere = tmp_path / "elsewhere"
    assert ProcessTable(elsewhere).end_leftovers() == []
    if how == "without setpriv":
        assert all(map(alive, pids)), "another directory's platform ends none of ours"
    ended = ProcessTable(tmp_path).end_leftovers()
    assert pids[1] in ended, "the grandchild, which no kernel signal reached"
    assert not any(map(alive, pids))
    assert ProcessTable(tmp_path).end_leftovers() == []


def test_the_running_platforms_own_are_no_leftovers(tmp_path: Path, table: ProcessTable) -> None:
    process: Process = table.start("it", ["sleep", "600"])
    assert ProcessTable(tmp_path).end_leftovers() == []
    assert process.exit_code is None
    process.stop()
