from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from kaito.embedded.knative.route import Backend, NotReadyInTime, RouteError, ServiceFailed
from kaito.embedded.knative.transport import ServiceTransport
from tests.receiver import Receiver

URL = "http://web.shop.svc.cluster.local/?open=1"


class Services:
    """One Service, or why there is none; and who holds it."""

    def __init__(self, receiver: Receiver, seconds: float = 30) -> None:
        self.port = urlsplit(receiver.url).port or 0
        self.seconds, self.refusal = seconds, RouteError()
        self.asked: list[tuple[str, str]] = []
        self.held = 0

    @contextmanager
    def acquire(self, namespace: str, name: str) -> Iterator[Backend]:
        self.asked.append((namespace, name))
        if str(self.refusal):
            raise self.refusal
        self.held += 1
        try:
            yield Backend(self.port, time.monotonic() + self.seconds)
        finally:
            self.held -= 1


@contextmanager
def client(services: Services) -> Iterator[httpx.Client]:
    transport = ServiceTransport(services.acquire)
    with httpx.Client(mounts={"http://*.svc.cluster.local": transport}) as client:
        yield client
    transport.end()


def test_a_request_goes_to_the_services_process_and_holds_it_until_its_answer_is_read() -> None:
    with Receiver() as receiver:
        services = Services(receiver)
        with client(services) as http:
            with http.stream("POST", URL, content=b"one") as response:
                assert services.held == 1
                response.read()
            assert (response.status_code, services.held) == (202, 0)
        (received,) = receiver.wait(1)
    assert services.asked == [("shop", "web")]
    assert received.body == b"one"
    assert received.headers["host"] == "web.shop.svc.cluster.local"


@pytest.mark.parametrize(("refusal", "later"), [(ServiceFailed("no memory"), None), (NotReadyInTime("late"), "5")])
def test_no_replica_is_an_answer(refusal: RouteError, later: str | None) -> None:
    with Receiver() as receiver:
        services = Services(receiver)
        services.refusal = refusal
        with client(services) as http:
            answer = http.post(URL)
    assert (answer.status_code, answer.text) == (503, f"{refusal}\n")
    assert answer.headers.get("Retry-After") == later


def test_it_takes_no_longer_than_it_may() -> None:
    over = threading.Event()
    with Receiver(lambda received, count: (str(over.wait(10)), 202)) as receiver:
        services = Services(receiver, seconds=0.1)
        with client(services) as http, pytest.raises(httpx.ReadTimeout):
            http.post(URL, timeout=None)
        assert services.held == 0
        over.set()
