from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventing.source.spool import Waiting
from kaito.runtime.kube import WatchEvent
from tests.unit.eventing.source.world import Opened, figure, node

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path)
    yield opened
    opened.store.close()


def hear(opened: Opened, *events: tuple[str, int], name: str = "a", uid: str = "u") -> None:
    for kind, version in events:
        opened.ledger.take(WatchEvent(kind, node(name, version, uid)))


def taken(opened: Opened) -> Waiting:
    waiting = opened.spool.next([])
    assert waiting is not None
    return waiting


@pytest.mark.parametrize(
    ("events", "waits"),
    [
        ([(ADDED, 1)], [("add", "1")]),
        ([(ADDED, 1), (MODIFIED, 2), (MODIFIED, 3)], [("add", "3")]),
        ([(MODIFIED, 2), (MODIFIED, 3)], [("update", "3")]),
        ([(MODIFIED, 2), (DELETED, 3)], [("delete", "3")]),
        ([(ADDED, 1), (DELETED, 2)], [("delete", "2")]),
        ([(ADDED, 1), (MODIFIED, 2), (DELETED, 3)], [("delete", "3")]),
        ([(MODIFIED, 1), (DELETED, 2), (ADDED, 3)], [("add", "3")]),  # left a selector and came back
        ([(DELETED, 2)], [("delete", "2")]),
    ],
)
def test_an_object_has_one_change(opened: Opened, events: list[tuple[str, int]], waits: list[tuple[str, str]]) -> None:
    coalesced = figure("kaito_source_changes_coalesced_total")
    hear(opened, *events)
    assert [(verb, version) for verb, _, version in opened.waits()] == waits
    assert figure("kaito_source_changes_coalesced_total") - coalesced == len(events) - 1
    assert opened.woken == len(events)


@pytest.mark.parametrize(
    ("before", "during", "after"),
    [
        ([(ADDED, 1)], [], []),
        ([(ADDED, 1)], [(MODIFIED, 2)], [("update", "2")]),
        ([(ADDED, 1)], [(MODIFIED, 2), (DELETED, 3)], [("delete", "3")]),
        ([(MODIFIED, 1)], [(MODIFIED, 2)], [("update", "2")]),
        ([(MODIFIED, 1)], [(DELETED, 2), (ADDED, 3)], [("update", "3")]),
        ([(DELETED, 1)], [(ADDED, 2)], [("add", "2")]),
    ],
)
def test_what_happens_while_a_change_is_under_way_is_told_after_it(
    opened: Opened, before: list[tuple[str, int]], during: list[tuple[str, int]], after: list[tuple[str, str]]
) -> None:
    hear(opened, *before)
    waiting = taken(opened)
    hear(opened, *during)
    assert opened.spool.next([waiting.place]) is None
    opened.spool.sent(waiting)
    assert [(verb, version) for verb, _, version in opened.waits()] == after


def test_one_that_fails_while_more_happens_is_told_as_it_is_then(opened: Opened) -> None:
    hear(opened, (ADDED, 1))
    waiting = taken(opened)
    hear(opened, (MODIFIED, 2))
    opened.spool.failed(waiting, opened.clock.now + 60)
    again = taken(opened)
    assert (again.change.verb, again.change.object["metadata"]["resourceVersion"]) == ("add", "2")
    assert again.id != waiting.id, "what is another event has another id"


def test_the_same_event_is_sent_again_under_its_id_and_time_and_waits_between(opened: Opened) -> None:
    hear(opened, (ADDED, 1))
    waiting = taken(opened)
    opened.spool.failed(waiting, opened.clock.now + 60)
    assert opened.spool.next([]) is None
    assert opened.spool.due() == opened.clock.now + 60
    opened.clock.now += 60
    again = taken(opened)
    assert (again.id, again.time, again.attempts) == (waiting.id, waiting.time, 1)
    assert uuid.UUID(again.id).version == 4
    assert abs((datetime.now(UTC) - datetime.fromisoformat(again.time)).total_seconds()) < 60
    assert re.fullmatch(r"[0-9T:.-]+Z", again.time)


def test_news_of_an_object_does_not_wait_for_what_has_failed(opened: Opened) -> None:
    hear(opened, (ADDED, 1))
    opened.spool.failed(taken(opened), opened.clock.now + 60)
    hear(opened, (MODIFIED, 2))
    assert opened.waits() == [("add", "a", "2")]


def test_an_object_that_changes_all_the_time_keeps_its_place(opened: Opened) -> None:
    hear(opened, (ADDED, 1))
    opened.clock.now += 1
    hear(opened, (ADDED, 2), name="b", uid="b")
    opened.clock.now += 1
    hear(opened, (MODIFIED, 3))
    assert opened.waits() == [("add", "a", "3"), ("add", "b", "2")]


def test_what_is_made_anew_under_a_name_waits_for_the_delete_before_it(opened: Opened) -> None:
    hear(opened, (MODIFIED, 1), (DELETED, 2), uid="old")
    hear(opened, (ADDED, 3), (MODIFIED, 4), uid="new")
    first = taken(opened)
    assert first.change.verb == "delete"
    assert opened.spool.next([first.place]) is None
    opened.spool.failed(first, opened.clock.now + 60)
    assert opened.spool.next([]) is None, "not even where the delete waits longer"
    opened.clock.now += 60
    assert [opened.send(), opened.send()] == [("delete", "a", "2"), ("add", "a", "4")]


def test_what_waits_outlives_the_process_and_is_due_at_once(tmp_path: Path) -> None:
    before = Opened(tmp_path)
    hear(before, (MODIFIED, 1), (DELETED, 2))
    hear(before, (ADDED, 3), name="b", uid="b")
    before.spool.failed(taken(before), before.clock.now + 3600)
    before.store.close()
    after = Opened(tmp_path)
    after.clock.now = 0  # of a machine that has just started
    assert after.waits() == [("delete", "a", "2"), ("add", "b", "3")]
    after.store.close()


def test_deletes_have_a_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    opened = Opened(tmp_path, most=1000)
    dropped = figure("kaito_source_deletes_dropped_total")
    hear(opened, (ADDED, 1), name="kept")
    for number in range(20):
        opened.ledger.take(WatchEvent(DELETED, node(f"n{number}", 2, filler="x" * 100)))
    waits = opened.waits()
    deletes = [name for verb, name, _ in waits if verb == "delete"]
    assert deletes == [f"n{number}" for number in range(20 - len(deletes), 20)]
    assert 1 < len(deletes) < 10
    assert ("add", "kept", "1") in waits, "what the inventory has takes no room"
    assert figure("kaito_source_deletes_dropped_total") - dropped == 20 - len(deletes)
    for _ in waits:
        opened.send()
    hear(opened, (DELETED, 3), name="one", uid="one")
    assert opened.waits() == [("delete", "one", "3")]
    assert opened.spool.waiting() == 1
    opened.store.close()


def test_a_delete_that_is_larger_than_the_bound_is_kept_while_it_is_the_newest(tmp_path: Path) -> None:
    opened = Opened(tmp_path, most=10)
    for number in range(3):
        hear(opened, (DELETED, number), name=f"n{number}", uid=f"u{number}")
    assert opened.waits() == [("delete", "n2", "2")]
    opened.store.close()
    again = Opened(tmp_path, most=10)
    hear(again, (DELETED, 9), name="n9", uid="u9")
    assert again.waits() == [("delete", "n9", "9")]
    again.store.close()
