"""The front door of all routes: one loopback port, the Service chosen by the Host header.

It does what Knative's ingress, activator and queue-proxy do together: it holds a request while its Service wakes up,
counts it, keeps within timeoutSeconds, and passes bodies on as they come, both ways.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import httpx
import structlog
from werkzeug.serving import WSGIRequestHandler, make_server

from kaito.embedded.knative.route import KEPT_ALIVE, Backend, RouteError, UnknownRoute

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHUNK: Final = 65536
SUFFIXES: Final = (".svc.cluster.local", ".localhost", ".svc")
#: RFC 9110 §7.6.1: they speak of one connection only. The body's framing is made anew on each side.
HOP_BY_HOP: Final = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)

#: Seconds that ``stop`` may wait for the server's loop.
_POLL: Final = 0.05

log = structlog.get_logger()


class Routes(Protocol):
    """What the proxy needs of the runner."""

    def acquire(self, namespace: str, name: str) -> AbstractContextManager[Backend]: ...

    def routes(self) -> list[str]: ...


class FrontProxy:
    """Bound when made, so that its port can be told to the runner; serves from ``start`` to ``stop``.

    Raises OSError where somebody else has the port.
    """

    def __init__(self, port: int = 0) -> None:
        # Bound here, because werkzeug prints and exits the process when a port is taken.
        with socket.create_server(("127.0.0.1", port)) as bound:
            self._server = make_server(
                "127.0.0.1", port, self._serve, threaded=True, request_handler=_Handler, fd=bound.fileno()
            )
        self._routes: Routes | None = None
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEPT_ALIVE)
        transport = httpx.HTTPTransport(verify=False, trust_env=False, limits=limits)
        self._client = httpx.Client(transport=transport, trust_env=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL,), name="proxy", daemon=True)

    @property
    def port(self) -> int:
        return self._server.port

    def start(self, routes: Routes) -> None:
        self._routes = routes
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._client.close()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        assert self._routes is not None
        with ExitStack() as held:
            try:
                namespace, name = _service_of(environ.get("HTTP_HOST", ""), self._routes)
                backend = held.enter_context(self._routes.acquire(namespace, name))
                response = self._client.send(_request(environ, backend), stream=True)
            except RouteError as error:
                return _refuse(start_response, error.status, str(error), error.retry_after)
            except httpx.ReadTimeout:
                return _refuse(start_response, HTTPStatus.GATEWAY_TIMEOUT, f"{name} did not answer in time")
            except httpx.HTTPError as error:
                return _refuse(start_response, HTTPStatus.BAD_GATEWAY, f"{name} ended without an answer: {error}")
            held.callback(response.close)
            start_response(f"{response.status_code} {response.reason_phrase}", _headers(response))
            return _Body(response, backend.deadline, held.pop_all())


class _Body:
    """A response on its way: holds its replica until the server has sent it, or has lost the client."""

    def __init__(self, response: httpx.Response, deadline: float, held: ExitStack) -> None:
        self._response, self._deadline, self._held = response, deadline, held

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._response.iter_raw():
                yield chunk
                if time.monotonic() > self._deadline:
                    raise ConnectionAbortedError("timeoutSeconds is over")
        except httpx.HTTPError as error:
            # The status is sent. What is left is to cut the connection, so that nobody takes the part for the whole.
            log.warning("response cut off", url=str(self._response.url), error=str(error))
            raise ConnectionAbortedError(str(error)) from error

    def close(self) -> None:
        self._held.close()


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # for chunked bodies; werkzeug closes the connection after each response

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the processes log their requests themselves."""


def _service_of(host: str, routes: Routes) -> tuple[str, str]:
    """Namespace and name of ``NAME.NAMESPACE[.localhost|.svc|.svc.cluster.local][:PORT]``."""
    bare = host.rpartition(":")[0] if ":" in host else host
    for suffix in SUFFIXES:
        if bare.endswith(suffix):
            bare = bare.removesuffix(suffix)
            break
    name, dot, namespace = bare.lower().partition(".")
    if not (name and dot and namespace) or "." in namespace:
        known = ", ".join(routes.routes()) or "none yet"
        raise UnknownRoute(f"no Service has the host {host!r}; the routes here are: {known}")
    return namespace, name


def _request(environ: WSGIEnvironment, backend: Backend) -> httpx.Request:
    raw = environ["REQUEST_URI"]
    if not raw.startswith("/"):  # a client that took this for a forward proxy sends the whole URL
        parts = urlsplit(raw)
        raw = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [(key[5:].replace("_", "-").lower(), value) for key, value in environ.items() if key.startswith("HTTP_")]
    connection = {part.strip() for part in environ.get("HTTP_CONNECTION", "").lower().split(",")}
    headers = [(key, value) for key, value in headers if key not in HOP_BY_HOP | connection | {"expect"}]
    if content_type := environ.get("CONTENT_TYPE"):
        headers.append(("content-type", content_type))
    length = environ.get("CONTENT_LENGTH") or ""
    chunked = bool(environ.get("wsgi.input_terminated"))
    if length and not chunked:
        headers.append(("content-length", length))
    left = max(0.001, backend.deadline - time.monotonic())
    return httpx.Request(
        environ["REQUEST_METHOD"],
        httpx.URL(scheme="http", host="127.0.0.1", port=backend.port, raw_path=raw.encode("latin-1")),
        headers=headers,
        content=_input(environ, None if chunked else int(length)) if chunked or length else None,
        extensions={"timeout": httpx.Timeout(left, connect=5.0).as_dict()},
    )


def _input(environ: WSGIEnvironment, length: int | None) -> Iterator[bytes]:
    """The request's body as it comes; without ``length``, until its last chunk."""
    stream = environ["wsgi.input"]
    while length is None or length > 0:
        chunk = stream.read(CHUNK if length is None else min(CHUNK, length))
        if not chunk:
            return
        if length is not None:
            length -= len(chunk)
        yield chunk


def _headers(response: httpx.Response) -> list[tuple[str, str]]:
    return [(key, value) for key, value in response.headers.multi_items() if key.lower() not in HOP_BY_HOP]


def _refuse(
    start_response: StartResponse, status: HTTPStatus, sentence: str, retry_after: int | None = None
) -> Iterable[bytes]:
    body = f"{sentence.rstrip('.')}.\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
