"""The emulator over a socket: the real SDK and the real azure-identity reach it as they reach Azure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.effects import CreatePool, DeletePool
from functions.provisioner.settings import ManagedCluster
from kaito.embedded.arm.emulator import Arm
from kaito.embedded.arm.server import ArmServer

BODY = {"properties": {"count": 1, "vmSize": "Standard_NC6s_v3", "type": "VirtualMachineScaleSets"}}
Serve = Callable[[], ArmServer]


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(tmp_path: Path, clock: Clock) -> Iterator[Serve]:
    """Starts the next one on the state of the one before."""
    running: list[ArmServer] = []

    def start() -> ArmServer:
        while running:
            running.pop().stop()
        running.append(ArmServer(Arm("s-1", "rg", "cluster", clock), tmp_path / "azure.json"))
        running[-1].start()
        return running[-1]

    yield start
    for server in running:
        server.stop()


def client(server: ArmServer, monkeypatch: pytest.MonkeyPatch) -> Pools:
    """As the function makes it, of its environment alone."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Pools.of(ManagedCluster("s-1", "rg", "cluster", server.environment["ARM_ENDPOINT"]))


def test_a_pool_comes_and_goes_by_a_managed_identitys_token(
    serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    pools = client(server, monkeypatch)
    pools.run(CreatePool("a", BODY, "why"))
    assert server.nodes() == []
    clock.seconds = 120
    (node,) = server.nodes()
    assert node["metadata"]["labels"]["kubernetes.azure.com/agentpool"] == "a"
    (pool,) = pools.list("this-cluster")
    pools.run(DeletePool("a", pool.etag, "why"))
    assert server.wire() == [
        "PUT agentPools/a Standard_NC6s_v3 if-none-match: * -> 201",
        f'DELETE agentPools/a if-match: "{pool.etag}" -> 202',
    ]
    assert server.nodes() == [node], "it goes with its machine"
    clock.seconds = 180
    assert server.nodes() == []
    assert pools.get("a", "this-cluster") is None


def test_what_it_knows_outlives_it(serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    client(serve(), monkeypatch).run(CreatePool("a", BODY, "why"))
    pools = client(serve(), monkeypatch)
    found = pools.get("a", "this-cluster")
    assert found is not None
    assert found.state == "Creating"
    clock.seconds = 120
    found = client(serve(), monkeypatch).get("a", "this-cluster")
    assert found is not None
    assert found.state == "Succeeded"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer of-somebody-else"}])
def test_nobody_without_its_token_is_let_in(serve: Serve, headers: dict[str, str]) -> None:
    url = f"{serve().url}/subscriptions/s-1/resourceGroups/rg"
    answer = requests.get(url, headers=headers, timeout=5, proxies={"http": ""})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_a_token_is_for_who_asks_as_a_machine_does(serve: Serve) -> None:
    url = f"{serve().url}/metadata/identity/oauth2/token?resource=r"
    assert requests.get(url, timeout=5, proxies={"http": ""}).status_code == 400
    given = requests.get(url, headers={"Metadata": "true"}, timeout=5, proxies={"http": ""}).json()
    assert given["resource"] == "r"
    assert given["access_token"]
