from __future__ import annotations

import threading

from kaito.runtime.crew import Crew


def test_what_is_urgent_comes_first_and_else_what_came_first() -> None:
    crew, begun, go_on, over = Crew(1, "test"), threading.Event(), threading.Event(), threading.Event()
    done: list[str] = []

    def hold() -> None:
        begun.set()
        go_on.wait(10)

    crew.submit(hold)
    assert begun.wait(10)
    for name, later in (("report a", True), ("act a", False), ("report b", True), ("act b", False)):
        crew.submit(lambda name=name: done.append(name), later=later)  # type: ignore[misc]
    crew.submit(over.set, later=True)
    go_on.set()
    assert over.wait(10)
    assert done == ["act a", "act b", "report a", "report b"]


def test_a_task_that_fails_costs_no_thread() -> None:
    crew, over = Crew(1, "test"), threading.Event()

    def fail() -> None:
        raise ValueError("not foreseen")

    crew.submit(fail)
    crew.submit(over.set)
    assert over.wait(10)
