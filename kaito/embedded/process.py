"""Child processes that never outlive the platform.

Three nets, because a platform may be killed at any moment: every child leads a process group of its own, so that
stopping it stops what it started; the kernel kills it when the platform dies (PR_SET_PDEATHSIG, by util-linux'
setpriv, where there is one); and who is running is written down, so that the next ``kaito up`` or ``kaito down`` ends
what was left. The kernel ties a child to the *thread* that made it, so all are made by one thread that never ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_SPAWNER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class Process:
    """One running child; its output goes to ``log``."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, forget: Callable[[], None]) -> None:
        self.name, self.log = name, log
        self._popen, self._forget = popen, forget

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> int:
        return self._popen.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to the whole group: for tests that want a crash."""
        _signal_group(self.pid, signal.SIGKILL)

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds, to the whole group; returns when it is gone."""
        _signal_group(self.pid, signal.SIGTERM)
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait()
        _signal_group(self.pid, signal.SIGKILL)  # what it left in its group
        self._forget()

    def tail(self, lines: int = 8) -> str:
        """The last lines of its log, for the error that says why it ended."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


class ProcessTable:
    """Starts children and remembers them in ``directory``/processes.json, logs in ``directory``/logs."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "processes.json"
        self._logs = directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}

    def start(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Start ``argv``; raises FileNotFoundError with the program's name where there is none."""
        environment = dict(os.environ) if env is None else dict(env)
        program = shutil.which(argv[0], path=environment.get("PATH"))
        if program is None:
            raise FileNotFoundError(f"{argv[0]}: no such program on this machine")
        log = self._logs / f"{name}.log"

        def spawn() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [*_DIE_WITH_PARENT, program, *argv[1:]],
                    env=environment,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

        popen = _SPAWNER.submit(spawn).result()
        self._remember(popen.pid, _started_at(popen.pid))
        return Process(name, popen, log, lambda: self._remember(popen.pid, None))

    def end_leftovers(self) -> list[int]:
        """Kill the groups a killed platform left behind; returns their pids. A reused pid is left alone."""
        try:
            left = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return []
        ended = []
        for pid, started in ((int(pid), started) for pid, started in left.items()):
            if started and _started_at(pid) == started:
                _signal_group(pid, signal.SIGKILL)
                ended.append(pid)
        self._file.unlink()
        return ended

    def _remember(self, pid: int, started: str | None) -> None:
        with self._lock:
            if started is None:
                self._running.pop(pid, None)
            else:
                self._running[pid] = started
            temporary = self._file.with_suffix(".tmp")
            temporary.write_text(json.dumps(self._running))
            temporary.replace(self._file)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _started_at(pid: int) -> str:
    """The kernel's start time of a process, which tells it from a later one with its pid; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""
