"""Tasks for later."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Hashable

Task = Callable[[], object]


class Timers:
    """Does each task when its time has come, one after the other in a thread of its own: tasks are short."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Hashable, Task]] = []
        self._numbers = itertools.count()  # tasks have no order of their own
        self._newest: dict[Hashable, int] = {}
        threading.Thread(target=self._watch, name="timers", daemon=True).start()

    def at(self, moment: float, task: Task, *, name: Hashable = None) -> None:
        """``moment``: by time.monotonic(). A task with a name takes the place of the one before of that name."""
        with self._changed:
            number = next(self._numbers)
            heapq.heappush(self._due, (moment, number, name, task))
            if name is not None:
                self._newest[name] = number
            self._changed.notify()

    def cancel(self, name: Hashable) -> None:
        """The task of that name is not wanted any more."""
        with self._changed:
            self._newest.pop(name, None)

    def _watch(self) -> None:
        while True:
            with self._changed:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                _, number, name, task = heapq.heappop(self._due)
                if name is not None:
                    if self._newest.get(name) != number:
                        continue
                    del self._newest[name]
            task()
