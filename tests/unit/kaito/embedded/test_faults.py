"""What goes wrong on purpose: the same for the same seed, and really what it is called."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from kaito.embedded.faults import SHARE, Fault, Faults, FaultyTransport
from kaito.embedded.knative.route import Backend
from kaito.embedded.process import Process
from kaito.runtime.keys import PING
from tests.receiver import Receiver

UPDATE = "dev.knative.apiserver.resource.update"
LIMIT = 60.0


def taken(seed: int, *kinds: Fault, function: str = "f", count: int = 200) -> list[Fault | None]:
    faults = Faults(kinds or tuple(Fault), seed)
    return [faults.next(function, UPDATE)[0] for _ in range(count)]


def test_the_same_seed_is_the_same_and_another_is_another() -> None:
    assert taken(1) == taken(1)
    assert taken(1) != taken(2)
    assert taken(1) != taken(1, function="g")


def test_a_share_of_the_events_has_one_and_few_are_kills() -> None:
    found = Counter(taken(1))
    assert 200 * SHARE * 0.5 < 200 - found[None] <= 200 * SHARE * 1.3
    assert found[Fault.CRASH] == 3
    assert all(found[kind] > 5 for kind in (Fault.DROP, Fault.DUPLICATE, Fault.REORDER))
    assert set(taken(1, Fault.DROP)) == {Fault.DROP, None}


def test_sweeps_come_through() -> None:
    faults = Faults(tuple(Fault), 1)
    assert {faults.next("f", PING) for _ in range(50)} == {(None, 0.0)}
    assert not faults.happened


class Killed:
    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1


@pytest.mark.parametrize(
    ("fault", "received", "killed"),
    [(Fault.DROP, 0, False), (Fault.DUPLICATE, 2, False), (Fault.REORDER, 1, False), (Fault.CRASH, 1, True)],
)
def test_what_each_does(fault: Fault, received: int, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaito.embedded.faults.SHARE", 1.0)
    monkeypatch.setattr("kaito.embedded.faults._LATE", 0.01)
    process = Killed()
    timers: list[Any] = []

    def timer(seconds: float, what: Any, arguments: Any) -> Any:
        timers.append((what, arguments))
        return SimpleNamespace(start=lambda: None)

    monkeypatch.setattr("kaito.embedded.faults.threading.Timer", timer)
    with Receiver() as receiver:
        port = httpx.URL(receiver.url).port
        assert port is not None

        @contextmanager
        def acquire(namespace: str, name: str) -> Iterator[Backend]:
            assert (namespace, name) == ("kaito-system", "kaito-workspace")
            yield Backend(port, time.monotonic() + LIMIT, cast(Process, process))

        transport = FaultyTransport(acquire, Faults([fault], 1))
        with httpx.Client(transport=transport) as client:
            url = "http://kaito-workspace.kaito-system.svc.cluster.local/"
            assert client.post(url, headers={"ce-type": UPDATE}, content=b"x").status_code == 202
        transport.end()
        for what, arguments in timers:
            what(*arguments)
    assert [it.body for it in receiver.received] == [b"x"] * received
    assert process.kills == killed
