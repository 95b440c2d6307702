"""The functions must run now, whatever the API server remembers of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kaito.embedded.knative.route import RouteError, ServiceFailed, UnknownRoute
from kaito.embedded.platform import SYSTEM_NAMESPACE, wait_running


class Services:
    """Answers each name's requests in order; the last answer stays. None is a ready replica."""

    def __init__(self, **answers: list[RouteError | None]) -> None:
        self._answers = answers

    @contextmanager
    def acquire(self, namespace: str, name: str) -> Iterator[None]:
        assert namespace == SYSTEM_NAMESPACE
        answers = self._answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer:
            raise answer
        yield


def test_it_waits_until_all_take_requests() -> None:
    services = Services(late=[UnknownRoute("not seen"), ServiceFailed("crashed"), None], ready=[None])
    assert wait_running(services.acquire, ["late", "ready"], 10) == {}


def test_one_that_fails_on_is_named_with_its_reason() -> None:
    services = Services(broken=[ServiceFailed("exit code 1")], ready=[None])
    assert wait_running(services.acquire, ["broken", "ready"], 0.3) == {"broken": "exit code 1"}


def test_one_that_keeps_a_request_waiting_does_not_hold_it_up() -> None:
    release = threading.Event()

    @contextmanager
    def acquire(namespace: str, name: str) -> Iterator[None]:
        release.wait(10)
        yield

    assert wait_running(acquire, ["slow"], 0.1) == {"slow": "no replica was ready"}
    release.set()
