"""What is new: each reader at its own pace, again from where it was, and anew where it missed something."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from console import feed as feeds
from console.feed import Feed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_PULSE", 0.01)


def never() -> None:
    """Nobody counts who listens."""


def told(stream: Iterator[str], count: int) -> list[tuple[str, str, str]]:
    """The next messages: id, event and data."""
    found: list[tuple[str, str, str]] = []
    while len(found) < count:
        fields = dict(line.partition(": ")[::2] for line in next(stream).splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["id"], fields["event"], fields["data"]))
    return found


def test_who_comes_first_is_told_to_ask_for_everything_and_then_what_is_new() -> None:
    feed = Feed()
    feed.publish("rows", {"old": True})
    stream = feed.stream("", never)
    assert next(stream) == "retry: 500\n\n"
    assert [it[1:] for it in told(stream, 1)] == [("reset", "{}")]
    feed.publish("rows", {"a": 1})
    assert [it[1:] for it in told(stream, 1)] == [("rows", '{"a":1}')]


def test_who_comes_back_misses_nothing() -> None:
    feed = Feed()
    ((name, _, _),) = told(feed.stream("", never), 1)
    for number in range(3):
        feed.publish("rows", number)
    again = feed.stream(name, never)
    assert [it[1:] for it in told(again, 3)] == [("rows", "0"), ("rows", "1"), ("rows", "2")]


@pytest.mark.parametrize("wrong", ["", "7", "someone-1", "-", "x-", "\u0663"])
def test_an_id_that_is_none_of_ours_begins_anew(wrong: str) -> None:
    feed = Feed()
    feed.publish("rows", 1)
    assert told(feed.stream(wrong, never), 1)[0][1] == "reset"


def test_an_id_of_another_console_begins_anew() -> None:
    one, other = Feed(), Feed()
    for feed in (one, other):
        feed.publish("rows", 1)
    ((name, _, _),) = told(one.stream("", never), 1)
    assert told(other.stream(name, never), 1)[0][1] == "reset"


def test_who_is_too_slow_is_dropped_and_told_so_when_it_comes_back() -> None:
    feed = Feed(kept=3)
    stream = feed.stream("", never)
    ((name, _, _),) = told(stream, 1)
    for number in range(4):
        feed.publish("rows", number)
    assert list(stream) == [], "it ends; nothing is kept for it"
    assert told(feed.stream(name, never), 1)[0][1] == "reset"


def test_a_stream_ends_by_itself_and_counts_who_listens() -> None:
    beats = []
    said = list(Feed().stream("", lambda: beats.append(1), life=0.05))
    assert said[2:] == [": nothing new\n\n"] * len(beats)
    assert len(beats) == 5


def test_it_waits_for_what_comes() -> None:
    feed = Feed()
    stream = feed.stream("", never, life=60)
    told(stream, 1)
    timer = threading.Timer(0.05, feed.publish, ("rows", "late"))
    timer.start()
    assert told(stream, 1)[0][2] == '"late"'
    timer.join()
