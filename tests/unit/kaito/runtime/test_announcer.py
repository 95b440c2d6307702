"""Events on their way to the Broker: over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from kaito.api.resources import Object
from kaito.api.tracing import traceparent
from kaito.embedded.knative.pod import free_port
from kaito.runtime import announcer
from kaito.runtime.announcer import Announcer, Unsent
from tests.receiver import Receiver

LIMIT = 10


def event(name: str = "1") -> Object:
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/apis/kaito.sh/v1alpha1/namespaces/default/workspaces/phi",
        "type": "sh.kaito.workspace.ready",
        "subject": "Workspace/default/phi",
        "datacontenttype": "application/json",
        "data": {"name": "phi", "uid": "u1", "message": "é"},
    }


class Ended:
    """What came of an event, once that is known."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._told: list[Unsent | None] = []

    def __call__(self, failure: Unsent | None) -> None:
        self._told.append(failure)
        self._over.set()

    @property
    def known(self) -> bool:
        return self._over.is_set()

    def wait(self) -> Unsent | None:
        assert self._over.wait(LIMIT)
        (told,) = self._told
        return told


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "_WAITS", (0.001,) * 5)


def test_an_event_is_posted_in_binary_mode() -> None:
    ended = Ended()
    with Receiver() as broker:
        Announcer(broker.url).send(event(), ended)
        assert ended.known, "the answer was waited for"
        (received,) = broker.received
    assert ended.wait() is None
    assert {name: value for name, value in received.headers.items() if name.startswith("ce-")} == {
        **{f"ce-{name}": event()[name] for name in ("specversion", "id", "source", "type", "subject")},
        "ce-traceparent": traceparent("u1"),
    }
    assert received.headers["content-type"] == "application/json"
    assert json.loads(received.body) == event()["data"]


def test_an_event_of_something_else_is_in_no_trace() -> None:
    with Receiver() as broker:
        Announcer(broker.url).send({**event(), "subject": "Machine/ws1"}, Ended())
        (received,) = broker.wait(1)
    assert "ce-traceparent" not in received.headers


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_broker_that_cannot_yet_is_asked_again(status: int) -> None:
    ended = Ended()
    with Receiver(lambda _, count: ("", status if count < 3 else 202)) as broker:
        Announcer(broker.url).send(event(), ended)
        assert ended.wait() is None
        assert len(broker.received) == 4
        assert len({received.headers["ce-id"] for received in broker.received}) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("status", "tries"), [(400, 1), (500, 1), (503, 6)])
def test_what_it_does_not_take_is_lost_and_said_so(status: int, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, log = Ended(), CapturingLogger()
    monkeypatch.setattr(announcer, "log", log)
    with Receiver(lambda *_: ("a subscriber failed", status)) as broker:
        Announcer(broker.url).send(event("lost-1"), ended)
        failure = ended.wait()
        assert len(broker.received) == tries
    assert str(failure) == f"{broker.url} answers {status} a subscriber failed"
    (said,) = log.calls
    assert (said.method_name, said.args) == ("warning", ("event lost",))
    assert {"lost-1", "sh.kaito.workspace.ready"} <= set(said.kwargs.values())


@pytest.mark.usefixtures("quick")
def test_a_broker_that_is_away_is_a_failure_too() -> None:
    ended = Ended()
    Announcer(f"http://127.0.0.1:{free_port()}/ns/broker").send(event(), ended)
    assert "refused" in str(ended.wait())


class Slow(Receiver):
    """A Broker that answers when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        super().__init__(self._wait)

    def _wait(self, *_: Any) -> tuple[str, int]:
        self.let.wait(LIMIT)
        return "", 202


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, nobody who waits for an answer comes back before the Broker is let."""
    monkeypatch.setattr(announcer, "PATIENCE", 0.01)
    return lambda: monkeypatch.setattr(announcer, "PATIENCE", LIMIT)


def test_nobody_waits_long_and_a_slow_broker_gets_it_all_the_same(impatient: Callable[[], None]) -> None:
    first, second = Ended(), Ended()
    with Slow() as broker:
        sends = Announcer(broker.url)
        sends.send(event("1"), first)
        assert not first.known
        impatient()
        sends.send(event("2"), second)
        assert not second.known, "while one is late the next is not waited for"
        broker.wait(2)
        broker.let.set()
        assert (first.wait(), second.wait()) == (None, None)
        third = Ended()
        sends.send(event("3"), third)
        assert third.known, "it answers at once again"


def test_what_is_under_way_when_the_process_ends_is_waited_for(impatient: Callable[[], None]) -> None:
    ended = Ended()
    with Slow() as broker:
        sends = Announcer(broker.url)
        sends.send(event(), ended)
        closing = threading.Thread(target=sends.close)
        closing.start()
        broker.wait(1)
        assert not ended.known
        broker.let.set()
        closing.join(LIMIT)
        assert ended.known
    assert ended.wait() is None


def test_and_lost_where_that_takes_too_long(impatient: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "_LAST_SECONDS", 0.01)
    ended = Ended()
    with Slow() as broker:
        sends = Announcer(broker.url)
        sends.send(event(), ended)
        sends.close()
        assert str(ended.wait()) == "the process ended before the Broker answered"
        broker.let.set()


def test_the_environment_says_where() -> None:
    assert announcer.announcer({}) is None
    assert announcer.announcer({"K_SINK": ""}) is None
    assert isinstance(announcer.announcer({"K_SINK": "http://127.0.0.1:1/ns/broker"}), Announcer)
    with pytest.raises(ValueError, match="K_SINK is 'broker'; it must be a Broker's address"):
        announcer.announcer({"K_SINK": "broker"})
