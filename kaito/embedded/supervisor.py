"""A child process that is started again whenever it ends, with growing pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from kaito.embedded.process import Process

FIRST_PAUSE: Final = 0.2
#: Seconds; and one that ran for longer than this begins with the first pause again.
LONGEST_PAUSE: Final = 10.0

log = structlog.get_logger()


class Supervised:
    """``start`` makes the process, now and whenever it has ended, from ``watch`` until ``stop``. Thread-safe."""

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self.process = start()
        self._lock = threading.Lock()  # who holds it may replace the process, and alone reaps it
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"supervisor-{self.process.name}", daemon=True)

    @property
    def ended(self) -> int | None:
        """The exit code where it has ended and nothing will start it again, else None."""
        return None if self._thread.is_alive() else self.process.exit_code

    def watch(self) -> None:
        self._thread.start()

    def restart(self) -> None:
        """Kill it and start it again at once."""
        with self._lock:
            self.process.kill()
            self.process.stop()
            self.process = self._start()

    def stop(self) -> None:
        """End the supervision, then the process; returns when both are gone."""
        with self._lock:
            self._stopping.set()
            self.process.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            process, begun = self.process, time.monotonic()
            code = process.wait()
            with self._lock:
                if self._stopping.is_set() or process is not self.process:
                    continue  # ended by us
                process.stop()  # reaps it, and ends what it has left in its group
            if time.monotonic() - begun > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            log.warning("process ended", process=process.name, exit_code=code, again_in=pause, log=process.tail())
            self._stopping.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            with self._lock:
                if not self._stopping.is_set() and process is self.process:
                    self._start_again()

    def _start_again(self) -> None:
        try:
            self.process = self._start()
        except OSError as error:  # its program is gone, or the machine has no room for it: maybe for now only
            log.warning("process not started", process=self.process.name, error=str(error))
