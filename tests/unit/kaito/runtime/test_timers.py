from __future__ import annotations

import threading
import time

from kaito.runtime.timers import Timers


def test_tasks_are_done_in_the_order_of_their_times_and_not_before() -> None:
    timers, over = Timers(), threading.Event()
    began, done = time.monotonic(), []

    def note(name: str) -> None:
        done.append((name, time.monotonic() - began))

    timers.at(began + 0.06, lambda: note("last"))
    timers.at(began + 0.06, over.set)
    timers.at(began + 0.03, lambda: note("first"))
    timers.at(began + 0.03, lambda: note("second"))
    assert over.wait(10)
    assert [name for name, _ in done] == ["first", "second", "last"]
    assert all(moment >= due for (_, moment), due in zip(done, (0.03, 0.03, 0.06), strict=True))
