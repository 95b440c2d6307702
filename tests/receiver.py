"""A subscriber for tests: an HTTP server on loopback that keeps what it got and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import flask

from tests.serving import serving


@dataclass(frozen=True, slots=True)
class Received:
    """One request; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


#: From what was received and how many requests came before, to (body, status) or (body, status, headers).
Answer = Callable[[Received, int], Any]


class Receiver:
    """Answers 202 with nothing unless told otherwise; use it in a ``with`` statement."""

    def __init__(self, answer: Answer = lambda received, count: ("", 202), path: str = "/") -> None:
        self.received: list[Received] = []
        self._answer, self._path = answer, path
        self._changed = threading.Condition()
        app = flask.Flask("receiver")
        app.add_url_rule(path, view_func=self._take, methods=["POST"])
        self._serving = serving(app)

    def wait(self, count: int, timeout: float = 10) -> list[Received]:
        """The requests so far, once there are ``count`` of them."""
        return self.until(lambda received: len(received) >= count, timeout)

    def until(self, enough: Callable[[Sequence[Received]], bool], timeout: float = 10) -> list[Received]:
        """The requests so far, once they are ``enough``."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: enough(self.received), timeout)
            assert arrived, f"only {len(self.received)} requests came in {timeout} s"
            return list(self.received)

    def _take(self) -> Any:
        headers = {name.lower(): value for name, value in flask.request.headers.items()}
        received = Received(headers, flask.request.get_data())
        with self._changed:
            count = len(self.received)
            self.received.append(received)
            self._changed.notify_all()
        return self._answer(received, count)

    def __enter__(self) -> Self:
        self.url = f"{self._serving.__enter__()}{self._path}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.__exit__(kind, error, trace)
