"""Our events against captures of those that Knative's ApiServerSource and Broker sent."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventing.broker import Broker
from eventing.source import ApiServerSource
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


@pytest.fixture(scope="module", params=["Resource", "Reference"])
def told(request: pytest.FixtureRequest) -> tuple[list[Received], list[Received]]:
    """What Knative sent, and what we send for the same objects."""
    mode: str = request.param
    expected = captures(mode.lower())
    watched = [objects(received) for received in captures("resource")]
    cluster = ScriptedCluster(
        expected[0].headers["ce-source"],
        {},
        {
            kind: [ScriptedWatch([event for event in watched if event.object["kind"] == kind])]
            for kind in ("Workspace", "Node")
        },
    )
    manifest = {
        "kind": "ApiServerSource",
        "metadata": {"namespace": "default", "name": "source"},
        "spec": {
            "mode": mode,
            "namespaceSelector": {},
            "resources": [
                {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace"},
                {"apiVersion": "v1", "kind": "Node"},
            ],
            "sink": {"uri": "/"},
        },
    }
    with Receiver() as receiver:
        source = ApiServerSource(manifest, cluster, lambda sink, namespace: receiver.url)
        source.start()
        received = receiver.wait(len(expected))
        source.stop()
    # The kinds are told side by side, each in its own order.
    in_order = sorted(received, key=lambda one: one.headers["ce-kind"] == "Node")
    return expected, in_order


def test_the_same_headers(told: tuple[list[Received], list[Received]]) -> None:
    expected, received = told
    assert [said(one) for one in received] == [said(one) for one in expected]


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
    assert said(received, without=arrival) == said(expected, without=arrival)
    assert received.headers["ce-knativearrivaltime"].endswith("Z")
    assert received.body == expected.body
