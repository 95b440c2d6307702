"""Child processes that never outlive the platform.

Three nets, because a platform may be killed at any moment: every child leads a process group of its own, so
that stopping it stops what it started; the kernel kills it when the platform dies (PR_SET_PDEATHSIG, by
util-linux' setpriv, where there is one); and every child and all that it starts carry a mark in their
environment, so that the next ``kaito up`` or ``kaito down`` finds and ends what was left, grandchildren too.
The kernel ties a child to the *thread* that made it, so all are made by one thread that never ends.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_SPAWNER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
_MARK: Final = "KAITO_PLATFORM"
_RUN: Final = secrets.token_hex(8)  # tells this platform's children from a dead one's; pids are used again


class Process:
    """One running child; its output goes to ``log``.

    It is reaped only by ``stop``: until then its pid, which is also its group's, can be nobody else's, so
    that no signal ever reaches a stranger. Call ``stop`` on a crashed one too.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.log = name, log
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        if self._popen.returncode is None:
            try:
                ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:  # another thread's stop() has just reaped it
                return self._popen.wait()
            if ended is None:
                return None
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self._popen.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        if (code := self.exit_code) is not None:
            return code
        with contextlib.suppress(ProcessLookupError), _pidfd(self.pid) as process:
            _wait_ended(process, timeout)
        if (code := self.exit_code) is None:
            raise subprocess.TimeoutExpired(self.name, timeout or 0)
        return code

    def kill(self) -> None:
        """SIGKILL to the whole group: for tests that want a crash."""
        self._signal(signal.SIGKILL)

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds, to the whole group; returns when it is gone."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(grace)
        self._signal(signal.SIGKILL)  # a leader that stays, and what one that went left in its group
        self._popen.wait()

    def tail(self, lines: int = 8) -> str:
        """The last lines of its log, for the error that says why it ended."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class ProcessTable:
    """Starts children that carry the mark of ``directory``; their logs are in ``directory``/logs."""

    def __init__(self, directory: Path) -> None:
        self._mark = f"{_MARK}={directory.resolve()}#"
        self._logs = directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Start ``argv``; raises FileNotFoundError with the program's name where there is none."""
        environment = {**(os.environ if env is None else env), _MARK: self._mark.partition("=")[2] + _RUN}
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

        return Process(name, _SPAWNER.submit(spawn).result(), log)

    def end_leftovers(self) -> list[int]:
        """Kill what a killed platform of this directory left behind; returns the pids when they are gone."""
        ended: list[int] = []
        # Until a look finds none: one of them may start another between our look and its end.
        while left := self._left():
            for pid in left:
                with contextlib.suppress(ProcessLookupError), _pidfd(pid) as process:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    _wait_ended(process, None)
            ended += left
        return ended

    def _left(self) -> list[int]:
        mark, ours = self._mark.encode(), self._mark.encode() + _RUN.encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue  # gone already, or another user's
            if any(item.startswith(mark) and item != ours for item in environment):
                found.append(int(entry.name))
        return [pid for pid in found if pid != os.getpid()]


def end_process(pid: int, grace: float) -> None:
    """SIGTERM to a process that is not our child, SIGKILL after ``grace`` seconds; returns when it is gone."""
    with contextlib.suppress(ProcessLookupError), _pidfd(pid) as process:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        _wait_ended(process, grace)
        signal.pidfd_send_signal(process, signal.SIGKILL)  # ProcessLookupError where it has ended
        _wait_ended(process, None)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_ended(pidfd: int, timeout: float | None) -> None:
    """Return when the process has ended, or after ``timeout`` seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(None if timeout is None else timeout * 1000)
