"""The training is started again where it was cut short, and only there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training import launch
from training.failure import EXIT_CODE
from training.launch import TRIES, command

#: A launcher whose training is a program of the test's own.
LAUNCHER = "import sys; from training import launch; launch.command = lambda *_: sys.argv[1:]; launch.main([])"


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, int]]:
    """Launch a program, which knows the number of its start: the exit code, and how often it was started."""
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "words"))
    starts = tmp_path / "starts"
    starts.touch()
    counted = f"import os, signal; f = open({str(starts)!r}, 'a+'); f.write('.'); f.seek(0); start = len(f.read());"

    def launch_it(program: str) -> tuple[int, int]:
        argv = [sys.executable, "-c", f"{counted} f.close(); {program}"]
        monkeypatch.setattr(launch, "command", lambda processes, passed: argv)
        with pytest.raises(SystemExit) as caught:
            launch.main([])
        return int(str(caught.value.code)), len(starts.read_text())

    return launch_it


@pytest.mark.parametrize(
    ("program", "code", "starts"),
    [
        ("", 0, 1),
        ("exit(1 if start < 2 else 0)", 0, 2),
        ("start < 2 and os.kill(os.getpid(), signal.SIGSEGV)", 0, 2),
        ("exit(1)", 1, TRIES),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + signal.SIGSEGV, TRIES),
        (f"exit({EXIT_CODE})", EXIT_CODE, 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, 1),
        ("exit(137)", 137, 1),
    ],
)
def test_it_is_started_again_where_that_may_help(
    launched: Callable[[str], tuple[int, int]], program: str, code: int, starts: int
) -> None:
    assert launched(program) == (code, starts)


def test_last_words_that_only_a_person_can_help_are_the_end(
    launched: Callable[[str], tuple[int, int]], tmp_path: Path
) -> None:
    words = json.dumps({"permanent": True})
    assert launched(f"open({str(tmp_path / 'words')!r}, 'w').write({words!r}); exit(1)") == (EXIT_CODE, 1)


def test_sigterm_is_passed_on_and_is_the_end() -> None:
    training = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: (print('stopped', flush=True), exit(1)));"
        "print('ready', flush=True); signal.pause()"
    )
    argv = [sys.executable, "-c", LAUNCHER, sys.executable, "-c", training]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
            assert process.stdout.read() == "stopped\n"
        finally:
            process.kill()


def test_one_process_is_started_as_it_is_and_several_by_pytorchs_launcher() -> None:
    assert command(1, ["--data=x"]) == [sys.executable, "-m", "training", "--data=x"]
    several = command(2, ["--data=x"])
    assert several[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert "--nproc-per-node=2" in several
    assert several[-3:] == ["--module", "training", "--data=x"]
