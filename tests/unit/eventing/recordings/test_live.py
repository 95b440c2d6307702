"""Events sent again, to whoever takes them."""

from __future__ import annotations

from eventing.recordings.live import MARK, send
from kaito.runtime.events import Event
from tests.receiver import Receiver


def event(name: str, time: str = "") -> Event:
    attributes = {"specversion": "1.0", "id": name, "source": "s", "type": "t", "datacontenttype": "application/json"}
    return Event({**attributes, **({"time": time} if time else {})}, b'{"a": 1}')


def test_each_is_sent_in_its_turn_and_is_marked() -> None:
    with Receiver(lambda _, count: ("no", 400) if count == 1 else ("", 202)) as receiver:
        found = list(send([event("1"), event("2"), event("3")], receiver.url))
        received = receiver.wait(3)
    assert [(it.event.id, it.status, it.said, it.taken) for it in found] == [
        ("1", 202, "", True),
        ("2", 400, "no", False),
        ("3", 202, "", True),
    ]
    assert [it.headers["ce-id"] for it in received] == ["1", "2", "3"]
    assert {it.headers[f"ce-{MARK}"] for it in received} == {"true"}
    assert {it.body for it in received} == {b'{"a": 1}'}


def test_where_nobody_answers_that_is_said() -> None:
    with Receiver() as receiver:
        pass
    (found,) = send([event("1")], receiver.url)
    assert found.status is None
    assert not found.taken
    assert found.said


def test_time_goes_by_as_fast_as_it_is_asked_to() -> None:
    waits: list[float] = []
    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", "nonsense", "2026-01-01T00:00:05Z", "2026-01-01T00:01:05Z")
    events = [event(str(number), time) for number, time in enumerate(times)]
    with Receiver() as receiver:
        list(send(events, receiver.url, pace=2, wait=waits.append))
        list(send(events, receiver.url, wait=waits.append))
    assert waits == [5.0, 30.0]
