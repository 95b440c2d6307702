"""What the real SDK sends and takes, seen by the emulator."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool

from functions.provisioner.aks.client import CONNECT_SECONDS, READ_SECONDS, Pools
from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.settings import ManagedCluster
from kaito.embedded.arm.emulator import NO_FAULT, Arm, Fault, Response
from kaito.embedded.arm.transport import Token, transport
from kaito.runtime.plan import Beyond

CLUSTER = ManagedCluster("s-1", "rg", "cluster")
BODY = {"properties": {"count": 1, "vmSize": "Standard_NC6s_v3", "type": "VirtualMachineScaleSets"}}
POOLS = "https://management.azure.com/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.ContainerService"
POOLS += "/managedClusters/cluster/agentPools"


class Wire:
    def __init__(self, *faults: Fault) -> None:
        self.seconds, self.faults = 0.0, list(faults)
        self.arm = Arm("s-1", "rg", "cluster", lambda: self.seconds, faults=self._fault)
        self.pools = Pools.of(CLUSTER, clock=lambda: self.seconds, credential=Token(), transport=transport(self.arm))

    def _fault(self, _method: str, _name: str) -> Fault:
        return self.faults.pop(0) if self.faults else NO_FAULT


def test_one_create_and_one_delete_on_the_wire() -> None:
    wire = Wire()
    wire.pools.run(CreatePool("a", BODY, "why"))
    wire.seconds = 120
    pool = wire.pools.get("a", "this-cluster")
    assert pool is not None
    assert (pool.state, pool.vm_size) == ("Succeeded", "Standard_NC6s_v3")
    wire.pools.run(DeletePool("a", pool.etag, "why"))
    wire.seconds = 180
    assert wire.pools.get("a", "this-cluster") is None
    seen = [(it.method, it.url.partition("?")[0], answer.status) for it, answer in wire.arm.log]
    assert seen == [(m, f"{POOLS}/a", s) for m, s in (("PUT", 201), ("GET", 200), ("DELETE", 202), ("GET", 404))]
    (put, _), _, (delete, _), _ = wire.arm.log
    assert put.body == BODY
    assert put.headers["if-none-match"] == "*"
    assert delete.headers["if-match"] == f'"{pool.etag}"'


def test_what_is_there_is_not_created_again() -> None:
    wire = Wire()
    wire.arm.put_foreign("a")
    with pytest.raises(AzureError) as refused:
        wire.pools.run(CreatePool("a", BODY, "why"))
    assert refused.value.status == 412
    assert wire.arm.pools()["a"]["count"] == 3


def test_what_has_changed_is_not_deleted() -> None:
    wire = Wire()
    wire.arm.put_foreign("a")
    with pytest.raises(AzureError) as refused:
        wire.pools.run(DeletePool("a", "another", "why"))
    assert refused.value.status == 412
    assert "a" in wire.arm.pools()


@pytest.mark.parametrize("effect", [DeletePool("a", "e1", "why"), AbortPool("a", "why")])
def test_what_is_gone_is_fine(effect: Beyond) -> None:
    wire = Wire()
    wire.pools.run(effect)
    assert wire.arm.pools() == {}


def test_a_list_is_good_for_a_moment_and_until_something_is_written() -> None:
    wire = Wire()
    for _ in range(3):
        assert wire.pools.list("this-cluster") == ()
    wire.seconds = 2.5
    wire.pools.list("this-cluster")
    assert len(wire.arm.log) == 2
    wire.pools.run(CreatePool("a", BODY, "why"))
    assert [pool.name for pool in wire.pools.list("this-cluster")] == ["a"]


def test_tags_are_told_only_of_this_clusters_pools() -> None:
    wire = Wire()
    wire.arm.put_foreign("a", tags={"kaito.sh_cluster": "this-cluster"})
    assert [len(pool.tags) for pool in wire.pools.list("this-cluster")] == [1]
    assert [len(pool.tags) for pool in wire.pools.list("another")] == [0]


def test_no_call_takes_long_where_azure_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = ManagedCluster("s-1", "rg", "cluster", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(AzureError) as raised:
            Pools.of(mute, credential=Token(), read_timeout=0.2).get("a", "this-cluster")
    assert raised.value.code == "ServiceResponseTimeoutError"
    assert (CONNECT_SECONDS, READ_SECONDS) == (5, 20)


@pytest.mark.parametrize(
    ("outcome", "state", "error"),
    [
        (None, "Succeeded", None),
        (("AllocationFailed", "no capacity"), "Failed", "AllocationFailed"),
        (("Canceled", "overridden"), "Canceled", "Canceled"),
    ],
)
def test_who_waits_for_an_operation_hears_how_it_ends(
    outcome: tuple[str, str] | None, state: str, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own poller, which the function does not use."""
    wire = Wire(Fault(outcome=outcome))
    monkeypatch.setattr(time, "sleep", lambda _seconds: setattr(wire, "seconds", wire.seconds + 30))
    client = ContainerServiceClient(Token(), "s-1", transport=transport(wire.arm), polling_interval=0)
    poller = client.agent_pools.begin_create_or_update("rg", "cluster", "a", AgentPool(BODY))
    if error is None:
        assert poller.result().provisioning_state == state
    else:
        with pytest.raises(HttpResponseError) as raised:
            poller.result()
        assert raised.value.error is not None
        assert raised.value.error.code == error
    assert wire.arm.pools()["a"]["provisioningState"] == state


def test_an_operation_that_is_ended_takes_a_moment_to_be_canceled() -> None:
    wire = Wire(Fault(forever=True))
    wire.pools.run(CreatePool("a", BODY, "why"))
    wire.pools.run(AbortPool("a", "why"))
    states = []
    for wire.seconds in (1, 6):
        states.append(wire.arm.pools()["a"]["provisioningState"])
    assert states == ["Canceling", "Canceled"]


def test_all_pages_are_read() -> None:
    wire = Wire()
    for index in range(250):
        wire.arm.put_foreign(f"p{index}")
    assert len(wire.pools.list("this-cluster")) == 250
    assert len(wire.arm.log) == 3


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (Response(429, {"code": "TooMany", "message": "slow"}, {"Retry-After": "9"}), (429, "TooMany", "slow", 9)),
        (Response(500, {"error": {"code": "Oops", "message": "sorry"}}), (500, "Oops", "sorry", None)),
        (Response(409, {"code": "Busy", "message": "m", "subcode": ""}), (409, "Busy", "m", None)),
    ],
)
def test_an_error_is_raised_once_with_azures_words(
    response: Response, expected: tuple[int, str, str, float | None]
) -> None:
    wire = Wire(Fault(response))
    with pytest.raises(AzureError) as raised:
        wire.pools.get("a", "this-cluster")
    error = raised.value
    assert (error.status, error.code, error.message, error.retry_after) == expected


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), 60, 90),
        (lambda: "Fri, 27 Nov 2020 10:00:00 GMT", 0, 0),
    ],
)
def test_azure_may_say_when_as_a_date(said: Callable[[], str], least: float, most: float) -> None:
    with pytest.raises(AzureError) as raised:
        Wire(Fault(Response(429, None, {"Retry-After": said()}))).pools.get("a", "this-cluster")
    assert raised.value.retry_after is not None
    assert least <= raised.value.retry_after <= most


@pytest.mark.parametrize("said", ["soon", "Fri, 27 Nov 2020", ""])
def test_what_cannot_be_read_is_as_if_azure_had_not_said_when(said: str) -> None:
    with pytest.raises(AzureError) as raised:
        Wire(Fault(Response(429, None, {"Retry-After": said}))).pools.get("a", "this-cluster")
    assert raised.value.retry_after is None


def test_no_answer_is_an_error_too() -> None:
    nobody = ManagedCluster("s-1", "rg", "cluster", "https://127.0.0.1:9")
    with pytest.raises(AzureError) as raised:
        Pools.of(nobody, credential=Token()).get("a", "this-cluster")
    assert raised.value.status == 0
