"""A subscriber for tests: an HTTP server on loopback that keeps what it got and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import flask
from werkzeug.serving import WSGIRequestHandler, make_server


@dataclass(frozen=True, slots=True)
class Received:
    """One request; header names in lower case."""

    headers: Mapping[str, str]
    body: bytes


#: From what was received and how many requests came before, to (body, status) or (body, status, headers).
Answer = Callable[[Received, int], Any]


class Receiver:
    """Answers 202 with nothing unless told otherwise; use it in a ``with`` statement."""

    def __init__(self, answer: Answer = lambda received, count: ("", 202)) -> None:
        self.received: list[Received] = []
        self._answer = answer
        self._changed = threading.Condition()
        app = flask.Flask("receiver")
        app.add_url_rule("/", view_func=self._take, methods=["POST"])
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def wait(self, count: int, timeout: float = 10) -> list[Received]:
        """The requests so far, once there are ``count`` of them."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.received) >= count, timeout)
            assert arrived, f"{len(self.received)} of {count} requests came in {timeout} s"
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
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None: ...  # noqa: A002 - werkzeug's name
