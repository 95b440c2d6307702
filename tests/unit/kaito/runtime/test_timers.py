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


def test_a_task_with_a_name_takes_the_place_of_the_one_before() -> None:
    timers, over, done = Timers(), threading.Event(), list[str]()
    began = time.monotonic()
    for number in range(3):
        timers.at(began + 0.02 + number / 100, lambda: done.append("again"), name="key")
    timers.at(began + 0.02, lambda: done.append("other"), name="other")
    timers.at(began + 0.02, lambda: done.append("not wanted"), name="gone")
    timers.cancel("gone")
    timers.at(began + 0.06, over.set)
    assert over.wait(10)
    assert done == ["other", "again"]
