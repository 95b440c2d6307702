"""Threads that do what is urgent first."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from queue import PriorityQueue

import structlog

log = structlog.get_logger()
Task = Callable[[], None]


class Crew:
    """So many threads; tasks are taken in the order they came in, those for ``later`` when there are no others."""

    def __init__(self, size: int, name: str) -> None:
        self._tasks: PriorityQueue[tuple[bool, int, Task]] = PriorityQueue()
        self._numbers = itertools.count()
        for number in range(size):
            threading.Thread(target=self._work, name=f"{name} {number}", daemon=True).start()

    def submit(self, task: Task, *, later: bool = False) -> None:
        """``task`` sees to its own failures; one that it did not foresee is logged, and the thread goes on."""
        self._tasks.put((later, next(self._numbers), task))

    def _work(self) -> None:
        while True:
            _, _, task = self._tasks.get()
            try:
                task()
            except Exception:  # or there would be one thread less for all that comes
                log.exception("a task failed")
