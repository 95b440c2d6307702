"""The way from this process to a Knative Service's: what the front proxy does, without a second connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Final

import httpx

from kaito.embedded.knative.route import KEPT_ALIVE, Backend, RouteError

#: The end of a Service's host name inside the cluster, after its name and namespace.
CLUSTER_LOCAL: Final = ".svc.cluster.local"
#: A ready replica of the Service of that namespace and name, for one request; raises RouteError.
Acquire = Callable[[str, str], AbstractContextManager[Backend]]


class ServiceTransport(httpx.BaseTransport):
    """Holds a request while its Service wakes up, counts it, and keeps within timeoutSeconds.

    One for several clients: closing these does not close it, ``end`` does.
    """

    def __init__(self, acquire: Acquire) -> None:
        self._acquire = acquire
        self._mine = threading.local()
        self._all: list[httpx.HTTPTransport] = []

    def end(self) -> None:
        for onward in self._all:
            onward.close()

    def _onward(self) -> httpx.HTTPTransport:
        """One for each thread: what a common pool does for a request grows with all that are under way."""
        found: httpx.HTTPTransport | None = getattr(self._mine, "onward", None)
        if found is None:
            limits = httpx.Limits(keepalive_expiry=KEPT_ALIVE)
            found = self._mine.onward = httpx.HTTPTransport(verify=False, trust_env=False, limits=limits)
            self._all.append(found)
        return found

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        name, _, namespace = request.url.host.removesuffix(CLUSTER_LOCAL).partition(".")
        with ExitStack() as held:
            try:
                backend = held.enter_context(self._acquire(namespace, name))
            except RouteError as error:
                later = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
                return httpx.Response(error.status, headers=later, text=f"{error}\n")
            request.url = request.url.copy_with(host="127.0.0.1", port=backend.port)
            request.extensions = {**request.extensions, "timeout": _within(request, backend.deadline)}
            response = self._onward().handle_request(request)
            assert isinstance(response.stream, httpx.SyncByteStream)
            return httpx.Response(response.status_code, headers=response.headers, stream=_Held(response.stream, held))


def _within(request: httpx.Request, deadline: float) -> dict[str, float]:
    """The client's own timeouts, and none later than the deadline (monotonic seconds)."""
    left = max(0.001, deadline - time.monotonic())
    asked = request.extensions.get("timeout", {})
    return {of: min(left, asked.get(of) or left) for of in ("connect", "read", "write", "pool")}


class _Held(httpx.SyncByteStream):
    """A response's body: its replica is held until it has been read."""

    def __init__(self, stream: httpx.SyncByteStream, held: ExitStack) -> None:
        self._stream, self._held = stream, held.pop_all()

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
        self._held.close()
