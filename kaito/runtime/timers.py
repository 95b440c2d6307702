"""Tasks for later."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

Task = Callable[[], object]


class Timers:
    """Does each task when its time has come, one after the other in a thread of its own: tasks are short."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Task]] = []
        self._numbers = itertools.count()  # tasks have no order of their own
        threading.Thread(target=self._watch, name="timers", daemon=True).start()

    def at(self, moment: float, task: Task) -> None:
        """``moment``: by time.monotonic()."""
        with self._changed:
            heapq.heappush(self._due, (moment, next(self._numbers), task))
            self._changed.notify()

    def _watch(self) -> None:
        while True:
            with self._changed:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                _, _, task = heapq.heappop(self._due)
            task()
