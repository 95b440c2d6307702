"""The real Envoy on loopback, between httpx and small servers, as the ingress controller runs it."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from kaito.api.resources import Object
from kaito.embedded.error import EmbeddedError
from tests.cluster.envoy import EXTERNAL, INTERNAL, Address, Key, render
from tests.cluster.envoy_binary import binary
from tests.cluster.envoy_gateway import Gateway

HOST = "gpu.default.kaito.test"
LOCAL = "gpu.default.svc.cluster.local"


class Upstream:
    """Answers with its name and the headers it got; the second half of /slow only after ``release``."""

    def __init__(self, name: str) -> None:
        self.release, self.waiting = threading.Event(), threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.headers.get("Upgrade") == "websocket":
                    self._echo()
                    return
                self.send_response(200)
                self.send_header("Upstream", name)
                for header in ("Host", "Knative-Serving-Revision"):
                    self.send_header(f"Got-{header}", self.headers.get(header, ""))
                self.send_header("Content-Length", "8")
                self.end_headers()
                self.wfile.write(b"half")
                if self.path == "/slow":
                    upstream.waiting.set()
                    assert upstream.release.wait(30)
                self.wfile.write(b"half")

            def _echo(self) -> None:
                self.send_response(101)
                self.send_header("Connection", "Upgrade")
                self.send_header("Upgrade", "websocket")
                self.end_headers()
                while data := self.connection.recv(100):
                    self.connection.sendall(data)
                self.close_connection = True

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hold(self) -> None:
        """From now on /slow waits."""
        self.release.clear()
        self.waiting.clear()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


class World:
    """Two Revisions of one Service behind the gateway."""

    def __init__(self, gateway: Gateway, listeners: Mapping[str, Address], upstreams: Mapping[str, Upstream]) -> None:
        self.gateway, self.listeners, self.upstreams = gateway, listeners, upstreams

    @property
    def services(self) -> dict[Key, Object]:
        def service(port: int) -> Object:
            return {"spec": {"clusterIP": "127.0.0.1", "ports": [{"name": "http", "port": port}]}}

        return {("default", name): service(upstream.port) for name, upstream in self.upstreams.items()}

    def serve(self, percent: Mapping[str, int], *, visibility: str = "ExternalIP", **path: object) -> None:
        """Serve the Revisions at these shares."""
        splits = [
            {
                "serviceNamespace": "default",
                "serviceName": name,
                "servicePort": self.upstreams[name].port,
                "percent": share,
                "appendHeaders": {"Knative-Serving-Revision": name},
            }
            for name, share in percent.items()
        ]
        rule = {"hosts": [HOST, LOCAL], "visibility": visibility, "http": {"paths": [{"splits": splits, **path}]}}
        meta = {"namespace": "default", "name": "gpu", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.gateway.serve(render([{"metadata": meta, "spec": {"rules": [rule]}}], self.services))

    def url(self, listener: str, path: str = "/") -> str:
        at = self.listeners[listener]
        return f"http://{at.host}:{at.port}{path}"

    def get(self, host: str = HOST, listener: str = EXTERNAL, **headers: str) -> httpx.Response:
        return httpx.get(self.url(listener), headers={"Host": host, **headers}, trust_env=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        program = binary(print)
    except EmbeddedError as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        upstreams = {name: Upstream(name) for name in ("gpu-00001", "gpu-00002")}
        for upstream in upstreams.values():
            stack.callback(upstream.close)
        external, internal = free_ports(2)
        listeners = {EXTERNAL: Address("127.0.0.1", external), INTERNAL: Address("127.0.0.1", internal)}
        gateway = Gateway(program, tmp_path_factory.mktemp("gateway"), listeners)
        stack.callback(gateway.stop)
        yield World(gateway, listeners, upstreams)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [it.getsockname()[1] for it in sockets]


def test_a_request_reaches_the_revision_with_knatives_headers_and_its_host(world: World) -> None:
    world.serve({"gpu-00001": 100})
    for host in (HOST, f"{HOST}:8080"):
        got = world.get(host, **{"Knative-Serving-Revision": "a client's own"})
        assert (got.status_code, got.text) == (200, "halfhalf")
        assert got.headers["Upstream"] == got.headers["Got-Knative-Serving-Revision"] == "gpu-00001"
        assert got.headers["Got-Host"] == host


def test_unknown_and_cluster_local_hosts_are_not_found_outside(world: World) -> None:
    world.serve({"gpu-00001": 100}, visibility="ClusterLocal")
    assert [world.get(LOCAL, listener).status_code for listener in (EXTERNAL, INTERNAL)] == [404, 200]
    assert world.get("nobody.example").text == "no route here for the host nobody.example\n"


def test_the_host_is_rewritten(world: World) -> None:
    world.serve({"gpu-00001": 100}, rewriteHost=LOCAL)
    assert world.get().headers["Got-Host"] == LOCAL


def test_headers_choose_a_path(world: World) -> None:
    world.serve({"gpu-00002": 100}, headers={"Knative-Serving-Tag": {"exact": "next"}})
    assert world.get(**{"Knative-Serving-Tag": "next"}).headers["Upstream"] == "gpu-00002"
    assert world.get().status_code == 404


def test_traffic_is_split_by_percent(world: World) -> None:
    world.serve({"gpu-00001": 75, "gpu-00002": 25})
    with httpx.Client(headers={"Host": HOST}, trust_env=False) as client:
        seen = Counter(client.get(world.url(EXTERNAL)).headers["Upstream"] for _ in range(400))
    assert 240 < seen["gpu-00001"] < 360  # seven standard deviations around 300


def test_no_request_fails_of_a_change_and_the_new_version_is_served_at_once(world: World) -> None:
    world.serve({"gpu-00001": 100})
    world.upstreams["gpu-00001"].hold()
    done, failed = threading.Event(), []
    seen: Counter[str] = Counter()

    def load() -> None:
        with httpx.Client(headers={"Host": HOST}, trust_env=False) as client:
            while not done.is_set():
                got = client.get(world.url(EXTERNAL))
                seen[got.headers.get("Upstream", "")] += 1
                if got.status_code != 200:
                    failed.append(got.text)

    def slow() -> httpx.Response:
        return httpx.get(world.url(EXTERNAL, "/slow"), headers={"Host": HOST}, trust_env=False, timeout=30)

    with ThreadPoolExecutor() as pool:
        held = pool.submit(slow)
        assert world.upstreams["gpu-00001"].waiting.wait(10)
        loads = [pool.submit(load) for _ in range(3)]
        for turn in range(20):
            name = f"gpu-0000{turn % 2 + 1}"
            world.serve({name: 100})
            assert world.get().headers["Upstream"] == name
        world.serve({"gpu-00002": 100})  # its cluster is gone while /slow is still answered
        world.upstreams["gpu-00001"].release.set()
        done.set()
        for it in loads:
            it.result()
        assert (held.result().status_code, held.result().text) == (200, "halfhalf")
    assert failed == []
    assert set(seen) == {"gpu-00001", "gpu-00002"}


def test_a_service_without_an_address_answers_503_until_it_has_one(world: World) -> None:
    split = {"serviceNamespace": "default", "serviceName": "later", "servicePort": 80}
    meta = {"namespace": "default", "name": "later", "creationTimestamp": "2026-01-01T00:00:00Z"}
    rules = [{"hosts": ["later.default"], "http": {"paths": [{"splits": [split]}]}}]
    rendering = render([{"metadata": meta, "spec": {"rules": rules}}], {})
    assert rendering.problems == {
        ("default", "later"): "the Service default/later has no cluster address at port 80 yet"
    }
    world.gateway.serve(rendering)
    assert world.get("later.default").status_code == 503


def test_a_killed_envoy_comes_back_with_what_it_served(world: World) -> None:
    world.serve({"gpu-00002": 100})
    world.gateway.process.kill()
    world.serve({"gpu-00001": 100})
    assert world.get().headers["Upstream"] == "gpu-00001"


def test_a_body_is_streamed_while_it_comes(world: World) -> None:
    world.serve({"gpu-00001": 100})
    upstream = world.upstreams["gpu-00001"]
    upstream.hold()
    url = world.url(EXTERNAL, "/slow")
    with httpx.stream("GET", url, headers={"Host": HOST}, trust_env=False, timeout=30) as got:
        parts = got.iter_raw()
        assert next(parts) == b"half"
        upstream.release.set()
        assert b"".join(parts) == b"half"


def test_a_websocket_passes(world: World) -> None:
    world.serve({"gpu-00001": 100})
    at = world.listeners[EXTERNAL]
    with socket.create_connection((at.host, at.port), timeout=10) as connection:
        asked = ("GET / HTTP/1.1", f"Host: {HOST}", "Connection: Upgrade", "Upgrade: websocket", "", "")
        connection.sendall("\r\n".join(asked).encode())
        head = connection.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"ping")
        assert connection.recv(100) == b"ping"


def test_a_mapped_host_goes_by_h2c_through_the_inner_gateway(world: World) -> None:
    inner, domain = world.listeners[INTERNAL], "models.example"
    ports = [{"name": "http2", "port": inner.port}]
    services: dict[Key, Object] = {
        **world.services,
        ("default", "gpu"): {"spec": {"type": "ExternalName", "externalName": "inner.ingress.svc.cluster.local"}},
        ("ingress", "inner"): {"spec": {"clusterIP": inner.host, "ports": ports}},
    }
    mapped = {"serviceNamespace": "default", "serviceName": "gpu", "servicePort": inner.port}
    rewrites = {"hosts": [domain], "http": {"paths": [{"rewriteHost": LOCAL, "splits": [mapped]}]}}
    route = {**mapped, "serviceName": "gpu-00002", "servicePort": world.upstreams["gpu-00002"].port}
    local = {"hosts": [LOCAL], "visibility": "ClusterLocal", "http": {"paths": [{"splits": [route]}]}}
    meta = {"namespace": "default", "name": "gpu", "creationTimestamp": "2026-01-01T00:00:00Z"}
    world.gateway.serve(render([{"metadata": meta, "spec": {"rules": [rewrites, local]}}], services))
    got = world.get(domain)
    assert (got.headers["Upstream"], got.headers["Got-Host"]) == ("gpu-00002", LOCAL)
