"""Our events against captures of those that Knative's ApiServerSource and Broker sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventing.broker import Broker
from eventing.source import ApiServerSource
from eventing.source.adapter import Adapter
from kaito.api.resources import Kind, Object
from kaito.api.tracing import source_span, traceparent
from kaito.runtime.events import parse
from kaito.runtime.kube import WatchEvent
from tests.receiver import Received, Receiver
from tests.scripted import ScriptedCluster, ScriptedWatch

CAPTURES = Path(__file__).parents[1] / "fixtures" / "cloudevents"
VERBS = {"add": "ADDED", "update": "MODIFIED", "delete": "DELETED"}
#: Said by the HTTP client of each side, not by the event.
HOP = {"host", "user-agent", "content-length", "accept-encoding", "accept", "connection"}
#: New in each event.
FRESH = {"ce-id", "ce-time"}
#: The attribute that only our events have.
OURS = {"ce-traceparent"}


def capture(path: Path) -> Received:
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    _, *lines = head.decode().split("\r\n")
    headers = (line.partition(":") for line in lines)
    return Received({name.lower(): value.strip() for name, _, value in headers}, body)


def captures(directory: str) -> list[Received]:
    found = [capture(path) for path in sorted((CAPTURES / directory).glob("*.http"))]
    assert found
    return found


def said(received: Received, *, without: set[str] = FRESH) -> dict[str, str]:
    return {name: value for name, value in received.headers.items() if name not in HOP | without}


def objects(received: Received) -> WatchEvent:
    return WatchEvent(VERBS[received.headers["ce-type"].rpartition(".")[2]], json.loads(received.body))


class PacedWatch(ScriptedWatch):
    """Says its next line when the one before has come to the receiver."""

    def __init__(self, lines: list[WatchEvent], receiver: Receiver) -> None:
        super().__init__(lines)
        self._receiver = receiver

    def __iter__(self) -> Iterator[WatchEvent]:
        for before, event in enumerate(super().__iter__()):
            self._receiver.until(partial(self._has, event.object["kind"], before))
            yield event

    @staticmethod
    def _has(kind: str, count: int, received: Sequence[Received]) -> bool:
        return count <= sum(one.headers["ce-kind"] == kind for one in received)


class Cluster(ScriptedCluster):
    """Is never asked for an address."""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        raise AssertionError(f"asked for {kind.kind} {namespace}/{name}")


Runs = Callable[[Object, Cluster, str, Path], ApiServerSource | Adapter]


def direct(manifest: Object, cluster: Cluster, url: str, directory: Path) -> ApiServerSource:
    return ApiServerSource(manifest, cluster, lambda sink, namespace: url)


def spooled(manifest: Object, cluster: Cluster, url: str, directory: Path) -> Adapter:
    return Adapter(manifest, cluster, directory, most=1 << 20)


@pytest.fixture(scope="module", params=["Resource", "Reference"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[direct, spooled])
def told(
    request: pytest.FixtureRequest, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Received], list[Received]]:
    """What Knative sent, and what we send for the same objects, at once or from the spool."""
    runs: Runs = request.param
    expected = captures(mode.lower())
    watched = [objects(received) for received in captures("resource")]
    manifest: Object = {
        "kind": "ApiServerSource",
        "metadata": {"namespace": "default", "name": "source"},
        "spec": {
            "mode": mode,
            "namespaceSelector": {},
            "resources": [
                {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace"},
                {"apiVersion": "v1", "kind": "Node"},
            ],
        },
    }
    with Receiver() as receiver:
        cluster = Cluster(
            expected[0].headers["ce-source"],
            {},
            {
                kind: [PacedWatch([event for event in watched if event.object["kind"] == kind], receiver)]
                for kind in ("Workspace", "Node")
            },
        )
        manifest["spec"]["sink"] = {"uri": receiver.url}
        source = runs(manifest, cluster, receiver.url, tmp_path_factory.mktemp("spool"))
        source.start()
        received = receiver.wait(len(expected))
        source.stop()
    # The kinds are told side by side, each in its own order.
    in_order = sorted(received, key=lambda one: one.headers["ce-kind"] == "Node")
    return expected, in_order


def test_the_same_headers(told: tuple[list[Received], list[Received]]) -> None:
    expected, received = told
    assert [said(one, without=FRESH | OURS) for one in received] == [said(one) for one in expected]


def test_what_is_a_workspaces_is_in_its_trace(told: tuple[list[Received], list[Received]]) -> None:
    _, received = told
    uid = objects(captures("resource")[0]).object["metadata"]["uid"]
    for one in received:
        span = source_span(one.headers["ce-source"], one.headers["ce-id"])
        wanted = traceparent(uid, span) if one.headers["ce-kind"] == "Workspace" else None
        assert one.headers.get("ce-traceparent") == wanted


def test_the_same_bodies_byte_for_byte(told: tuple[list[Received], list[Received]]) -> None:
    expected, received = told
    assert [one.body for one in received] == [one.body for one in expected]


def test_ids_and_times_are_of_the_same_form_and_fresh(told: tuple[list[Received], list[Received]]) -> None:
    expected, received = told
    ids = {one.headers["ce-id"] for one in received}
    assert len(ids) == len(expected)
    assert {uuid.UUID(one).version for one in ids} == {4}
    for one in received:
        assert one.headers["ce-time"].endswith("Z")
        assert datetime.fromisoformat(one.headers["ce-time"]).tzinfo is not None


@pytest.mark.parametrize("directory", ["resource", "reference", "via-broker"])
def test_captured_events_are_read_without_loss(directory: str) -> None:
    for received in captures(directory):
        event = parse(received.headers, received.body)
        attributes = {name.removeprefix("ce-"): v for name, v in received.headers.items() if name.startswith("ce-")}
        assert event.attributes == {**attributes, "datacontenttype": "application/json"}
        assert event.data["kind"] == event.attributes["kind"]


@dataclass(frozen=True)
class Resolve:
    url: str

    def __call__(self, destination: Any, namespace: str) -> str:
        return self.url


@pytest.mark.parametrize("expected", captures("via-broker"), ids=lambda one: one.headers["ce-name"])
def test_a_subscriber_of_our_broker_gets_what_one_of_knatives_got(expected: Received) -> None:
    arrival = {"ce-knativearrivaltime"}
    sent = {name: value for name, value in said(expected, without=arrival).items() if name != "prefer"}
    sent["ce-traceparent"] = traceparent("u1")  # an extension, which a Broker passes on as it is
    broker_manifest = {"kind": "Broker", "metadata": {"namespace": "default", "name": "default"}}
    trigger = {
        "kind": "Trigger",
        "metadata": {"namespace": "default", "name": "all"},
        "spec": {"broker": "default", "subscriber": {"uri": "/"}},
    }
    with Receiver() as receiver:
        broker = Broker(Resolve(receiver.url))
        broker.configure([broker_manifest], [trigger])
        broker.start()
        answer = httpx.post(broker.address("default", "default"), headers=sent, content=expected.body)
        (received,) = receiver.wait(1)
        broker.stop()
    assert answer.status_code == 202
    assert said(received, without=arrival | OURS) == said(expected, without=arrival)
    assert received.headers["ce-traceparent"] == sent["ce-traceparent"]
    assert received.headers["ce-knativearrivaltime"].endswith("Z")
    assert received.body == expected.body
