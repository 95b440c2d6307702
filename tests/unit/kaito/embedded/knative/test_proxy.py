"""The front proxy before a real HTTP server, with routes that the test decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from flask import Flask, Response, redirect, request

from kaito.embedded.knative.pod import free_port
from kaito.embedded.knative.proxy import FrontProxy
from kaito.embedded.knative.route import Backend, NotReadyInTime, RouteError, ServiceFailed, UnknownRoute
from tests.serving import serving

SECOND_HALF = threading.Event()


class Routes:
    """Leads web.ns to ``port``; ``refusal`` is raised instead where there is one."""

    def __init__(self, port: int) -> None:
        self.port, self.timeout = port, 10.0
        self.refusal: RouteError | None = None
        self.held = 0

    @contextmanager
    def acquire(self, namespace: str, name: str) -> Iterator[Backend]:
        if (namespace, name) != ("ns", "web"):
            raise UnknownRoute(f"no Service {name} in namespace {namespace}")
        if self.refusal:
            raise self.refusal
        self.held += 1
        try:
            yield Backend(self.port, time.monotonic() + self.timeout)
        finally:
            self.held -= 1

    def routes(self) -> list[str]:
        return ["http://web.ns.localhost"]


def application() -> Flask:
    app = Flask(__name__)

    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
    def echo() -> Response:
        answer = Response(request.get_data(), mimetype="application/octet-stream")
        answer.headers["X-Method"] = request.method
        answer.headers["X-Saw"] = ",".join(sorted(key.lower() for key in request.headers.keys()))  # noqa: SIM118
        answer.headers["X-Host"] = request.host
        answer.headers["X-Uri"] = request.environ["REQUEST_URI"]
        answer.headers.add("Set-Cookie", "a=1")
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    @app.get("/away")
    def away() -> Response:
        return redirect("http://elsewhere.example/")  # type: ignore[return-value]

    @app.get("/stream")
    def stream() -> Response:
        def events() -> Iterator[str]:
            yield "data: first\n\n"
            SECOND_HALF.wait(10)
            yield "data: second\n\n"

        return Response(events(), mimetype="text/event-stream")

    @app.get("/cut")
    def cut() -> Response:
        def events() -> Iterator[str]:
            yield "data: first\n\n"
            raise ConnectionAbortedError("the process dies here")

        return Response(events(), mimetype="text/event-stream")

    @app.get("/slow")
    def slow() -> str:
        SECOND_HALF.wait(10)
        return "late"

    return app


@pytest.fixture
def routes() -> Iterator[Routes]:
    SECOND_HALF.clear()
    with serving(application()) as url:
        yield Routes(int(url.rpartition(":")[2]))
        SECOND_HALF.set()


@pytest.fixture
def client(routes: Routes) -> Iterator[httpx.Client]:
    proxy = FrontProxy()
    proxy.start(routes)
    base = f"http://127.0.0.1:{proxy.port}"
    with httpx.Client(base_url=base, headers={"Host": "web.ns.localhost"}, timeout=15) as client:
        yield client
    proxy.stop()


@pytest.mark.parametrize(
    "host",
    [
        "web.ns.localhost",
        "web.ns.localhost:8080",
        "WEB.ns.localhost",
        "web.ns",
        "web.ns.svc",
        "web.ns.svc.cluster.local:80",
    ],
)
def test_hosts_that_lead_there(client: httpx.Client, host: str) -> None:
    answer = client.get("/echo", headers={"Host": host})
    assert (answer.status_code, answer.headers["X-Host"].lower()) == (200, host.removesuffix(":80").lower())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "other.ns", "a.b.c.localhost", "web"])
def test_hosts_that_lead_nowhere(client: httpx.Client, host: str) -> None:
    answer = client.get("/echo", headers={"Host": host})
    assert answer.status_code == 404
    assert answer.text.startswith("no Service ")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_and_bodies(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/echo?a=%2F&b", content=b"body")
    assert (answer.content, answer.headers["X-Method"], answer.headers["X-Uri"]) == (b"body", method, "/echo?a=%2F&b")


def test_a_port_that_is_taken(routes: Routes) -> None:
    with pytest.raises(OSError, match="in use"):
        FrontProxy(routes.port)


def test_head_and_no_body(client: httpx.Client) -> None:
    assert client.head("/echo").content == b""
    assert client.get("/echo").content == b""


@pytest.mark.parametrize("size", [0, 1, 65536, 300_000])
def test_a_body_of_unknown_length(client: httpx.Client, size: int) -> None:
    answer = client.post("/echo", content=iter([b"x" * size]))
    assert len(answer.content) == size


def test_headers(client: httpx.Client) -> None:
    answer = client.get("/echo", headers={"TE": "trailers", "X-Mine": "1", "Connection": "x-drop", "X-Drop": "1"})
    saw = answer.headers["X-Saw"].split(",")
    assert "x-mine" in saw
    assert not {"te", "x-drop"} & set(saw)
    assert answer.headers.get_list("Set-Cookie") == ["a=1", "b=2"]


def test_a_redirect_is_the_clients_business(client: httpx.Client) -> None:
    answer = client.get("/away")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://elsewhere.example/")


def test_events_come_as_they_are_made_and_hold_the_replica(client: httpx.Client, routes: Routes) -> None:
    with client.stream("GET", "/stream") as answer:
        chunks = answer.iter_text()
        assert next(chunks) == "data: first\n\n"
        assert routes.held == 1
        SECOND_HALF.set()
        assert "".join(chunks) == "data: second\n\n"


def test_a_response_cut_off_is_seen_as_such(client: httpx.Client) -> None:
    with client.stream("GET", "/cut") as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()


@pytest.mark.parametrize(
    ("refusal", "come_back"),
    [(ServiceFailed("ExitCode1: no memory"), None), (NotReadyInTime("not ready within 300 seconds"), "5")],
)
def test_a_refusal_is_a_sentence(
    client: httpx.Client, routes: Routes, refusal: RouteError, come_back: str | None
) -> None:
    routes.refusal = refusal
    answer = client.get("/echo")
    assert (answer.status_code, answer.text) == (503, f"{refusal}.\n")
    assert answer.headers.get("Retry-After") == come_back


def test_a_process_that_is_gone(client: httpx.Client, routes: Routes) -> None:
    routes.port = free_port()
    assert client.get("/echo").status_code == 502
    assert routes.held == 0


def test_a_process_that_does_not_answer_in_time(client: httpx.Client, routes: Routes) -> None:
    routes.timeout = 0.2
    assert client.get("/slow").status_code == 504
