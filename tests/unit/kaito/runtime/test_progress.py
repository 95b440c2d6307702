from __future__ import annotations

from kaito.api.resources import WORKSPACE
from kaito.runtime.keys import Key
from kaito.runtime.progress import INTERVAL, PATIENCE, SECONDS, Progress

A, B = Key(WORKSPACE, "default", "a"), Key(WORKSPACE, "default", "b")


def test_a_newer_one_takes_the_place_of_an_older_and_its_time() -> None:
    progress: Progress[str] = Progress()
    due = progress.hold(A, "starting", 10.0)
    assert due == 10.0 + SECONDS
    assert progress.hold(A, "started", 10.5) == due
    assert not progress.holds(A, "starting")
    assert progress.holds(A, "started")


def test_what_is_told_gives_its_time_back() -> None:
    progress: Progress[str] = Progress()
    progress.hold(A, "starting", 10.0)
    progress.drop(A)
    assert not progress.holds(A, "starting")
    progress.forget(A)
    assert progress.hold(A, "started", 20.0) == 20.0 + SECONDS


def test_many_are_told_one_after_the_other() -> None:
    progress: Progress[str] = Progress()
    first = progress.hold(A, "starting", 10.0)
    assert progress.hold(B, "starting", 10.0) == first + INTERVAL


def test_work_is_waited_for_and_not_for_ever() -> None:
    progress: Progress[str] = Progress()
    due = progress.hold(A, "starting", 10.0)
    assert not progress.overdue(A, due)
    assert progress.overdue(A, due + PATIENCE)
