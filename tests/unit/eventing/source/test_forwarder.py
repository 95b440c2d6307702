from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.source.forwarder import SENDERS, Forwarder, Pace, backoff
from eventing.source.sink import Sink
from kaito.runtime.kube import WatchEvent
from tests.receiver import Received, Receiver
from tests.unit.eventing.source.world import Addresses, Opened, node, told


@contextmanager
def forwarding(opened: Opened, url: str) -> Iterator[Forwarder]:
    """Sends what waits there, until the end of the block."""
    stopping, client = threading.Event(), httpx.Client(trust_env=False)
    sink = Sink({"uri": url}, "ns", Addresses(), "sink")
    forwarder = Forwarder(
        opened.spool, sink, "Resource", "ns", "https://127.0.0.1:6443", client, stopping, time.monotonic
    )
    threads = [threading.Thread(target=forwarder.work, name=f"sender {number}") for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield forwarder
    finally:
        stopping.set()
        forwarder.wake()
        for thread in threads:
            thread.join(5)
        client.close()
        assert not [thread for thread in threads if thread.is_alive()]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path, time=time.monotonic)
    yield opened
    opened.store.close()


def until(holds: Callable[[], bool]) -> None:
    never, deadline = threading.Event(), time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        never.wait(0.01)


def test_what_waits_is_sent_and_what_comes_is_sent_too(opened: Opened) -> None:
    opened.ledger.replace([node("a", 1)])
    with Receiver() as receiver, forwarding(opened, receiver.url) as forwarder:
        receiver.wait(1)
        opened.ledger.take(WatchEvent("MODIFIED", node("a", 2)))
        forwarder.wake()
        received = receiver.wait(2)
        until(lambda: opened.spool.waiting() == 0)
    assert told(received) == [("add", "a"), ("update", "a")]
    assert {one.headers["kn-namespace"] for one in received} == {"ns"}


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_sink_that_is_away_is_tried_by_one_change_and_then_gets_them_all(opened: Opened, status: int) -> None:
    opened.ledger.replace([node(f"n{number}", 1) for number in range(40)])
    away = threading.Event()
    away.set()
    with Receiver(lambda received, count: ("", status if away.is_set() else 202)) as receiver:
        with forwarding(opened, receiver.url):
            receiver.wait(4)
            assert opened.spool.waiting() == 40
            away.clear()
            until(lambda: opened.spool.waiting() == 0)
        assert len(receiver.received) <= 40 + SENDERS + 4, "those that were under way together, then one a pause"
        accepted = told(receiver.received)[-40:]
    assert {name for _, name in accepted} == {f"n{number}" for number in range(40)}


def test_a_sink_is_left_alone_for_as_long_as_it_asks(opened: Opened) -> None:
    opened.ledger.replace([node("a", 1)])
    times: list[float] = []

    def busy(received: Received, count: int) -> tuple[str, int, dict[str, str]]:
        times.append(time.monotonic())
        return "", 503 if count == 0 else 202, {"Retry-After": "1"}

    with Receiver(busy) as receiver, forwarding(opened, receiver.url):
        receiver.wait(2)
    assert times[1] - times[0] >= 1


@pytest.mark.parametrize("status", [301, 400, 409, 500])
def test_what_the_sink_refuses_holds_up_nobody_else(opened: Opened, status: int) -> None:
    opened.ledger.replace([node("refused", 1), *(node(f"n{number}", 1) for number in range(30))])

    def answer(received: Received, count: int) -> tuple[str, int]:
        return "", status if received.headers["ce-name"] == "refused" else 202

    with Receiver(answer) as receiver, forwarding(opened, receiver.url):
        until(lambda: opened.spool.waiting() == 1)
        until(lambda: told(receiver.received).count(("add", "refused")) >= 3)
        ids = {one.headers["ce-id"] for one in receiver.received if one.headers["ce-name"] == "refused"}
    assert len(ids) == 1, "the same event, again"
    assert len(receiver.received) < 30 + 8, "not as often as it can"
    assert opened.spool.waiting() == 1


def test_as_many_are_under_way_as_there_are_senders_and_one_an_object(opened: Opened) -> None:
    opened.ledger.replace([node(f"n{number}", 1) for number in range(20)])
    release = threading.Event()

    def held(received: Received, count: int) -> tuple[str, int]:
        release.wait(10)
        return "", 202

    with Receiver(held) as receiver, forwarding(opened, receiver.url) as forwarder:
        receiver.wait(SENDERS)
        for one in receiver.received:
            opened.ledger.take(WatchEvent("MODIFIED", node(one.headers["ce-name"], 2)))
        forwarder.wake()
        assert len(receiver.received) == SENDERS
        release.set()
        received = receiver.wait(20 + SENDERS)
        until(lambda: opened.spool.waiting() == 0)
    first = [name for _, name in told(received)[:SENDERS]]
    assert sorted(told(received)) == sorted(
        [("add", f"n{number}") for number in range(20)] + [("update", name) for name in first]
    )


def test_stop_is_prompt_while_the_sink_is_away(opened: Opened) -> None:
    opened.ledger.replace([node("a", 1)])
    began = time.monotonic()
    busy = Receiver(lambda received, count: ("", 503, {"Retry-After": "60"}))
    with busy as receiver, forwarding(opened, receiver.url):
        receiver.wait(1)
    assert time.monotonic() - began < 5
    assert opened.spool.waiting() == 1


def test_the_pace_of_a_sink_that_comes_and_goes() -> None:
    pace = Pace()
    assert pace.pause(0, under_way=7) == 0
    assert pace.away(10, None) is True
    assert pace.pause(10, under_way=7) is None, "those under way together end first"
    assert pace.away(10.05, None) is False
    assert pace.pause(10.05, under_way=0) == pytest.approx(0.1)
    assert pace.pause(10.2, under_way=0) == 0
    assert pace.pause(10.2, under_way=1) is None, "by one"
    pace.away(10.2, None)
    assert pace.pause(10.2, under_way=0) == pytest.approx(0.2)
    pace.away(10.5, 7.0)
    assert pace.pause(10.5, under_way=0) == pytest.approx(7)
    pace.away(20, 86400.0)
    assert pace.pause(20, under_way=0) == 300
    assert pace.answered() is True
    assert pace.pause(20, under_way=7) == 0
    assert pace.answered() is False


@given(st.integers(1, 10_000))
def test_pauses_grow_to_half_a_minute(failures: int) -> None:
    assert backoff(1) == 0.1
    assert backoff(failures) <= backoff(failures + 1) <= 30.0
    assert backoff(10) == 30.0
