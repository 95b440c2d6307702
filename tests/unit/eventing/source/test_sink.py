from __future__ import annotations

from typing import Any

import pytest

from eventing.delivery import Unresolved
from eventing.manifest import ManifestError
from eventing.source.sink import Sink
from kaito.api.resources import Object
from kaito.runtime.kube import KubeError
from tests.unit.eventing.source.world import Addresses

BROKER = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "kaito"}


def addressed(url: str | None) -> Object:
    return {"status": {"address": {"url": url}}} if url else {"status": {}}


@pytest.mark.parametrize(
    ("destination", "api", "url"),
    [
        ({"uri": "http://sink.example/path"}, Addresses(), "http://sink.example/path"),
        (
            {"ref": BROKER},
            Addresses(("Broker ns/kaito", addressed("http://ingress/ns/kaito"))),
            "http://ingress/ns/kaito",
        ),
        (
            {"ref": {**BROKER, "namespace": "other"}},
            Addresses(("Broker other/kaito", addressed("http://ingress/other/kaito"))),
            "http://ingress/other/kaito",
        ),
        (
            {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "fn"}, "uri": "/events"},
            Addresses(("Service ns/fn", addressed("http://fn.ns.svc.cluster.local"))),
            "http://fn.ns.svc.cluster.local/events",
        ),
        (
            {"ref": {"apiVersion": "v1", "kind": "Service", "name": "plain"}},
            Addresses(),
            "http://plain.ns.svc.cluster.local",
        ),
    ],
)
def test_addresses(destination: dict[str, Any], api: Addresses, url: str) -> None:
    assert Sink(destination, "ns", api, "spec.sink").find() == url


@pytest.mark.parametrize(
    ("api", "reason"),
    [
        (Addresses(), "Broker ns/kaito is not there"),
        (Addresses(("Broker ns/kaito", addressed(None))), "Broker ns/kaito has no address yet"),
        (Addresses(("Broker ns/kaito", {"status": {"address": None}})), "has no address yet"),
        (
            Addresses(("Broker ns/kaito", KubeError(403, "Forbidden", "no rights"))),
            "cannot be read: Forbidden: no rights",
        ),
    ],
)
def test_a_sink_without_an_address_is_unresolved_until_it_has_one(api: Addresses, reason: str) -> None:
    sink = Sink({"ref": BROKER}, "ns", api, "spec.sink")
    with pytest.raises(Unresolved, match=reason):
        sink.find()
    api.objects["Broker ns/kaito"] = addressed("http://there/")
    assert sink.find() == "http://there/"


def test_an_address_is_asked_for_once_and_again_when_nobody_answered_there() -> None:
    api = Addresses(("Broker ns/kaito", addressed("http://old/")))
    sink = Sink({"ref": BROKER}, "ns", api, "spec.sink")
    assert [sink.find(), sink.find()] == ["http://old/"] * 2
    assert len(api.asked) == 1
    api.objects["Broker ns/kaito"] = addressed("http://new/")
    sink.forget()
    assert sink.find() == "http://new/"


@pytest.mark.parametrize(
    ("destination", "field"),
    [
        ({}, "spec.sink"),
        ({"uri": "/path"}, "spec.sink"),
        ({"uri": "kafka://topic"}, "spec.sink"),
        ({"ref": BROKER, "uri": "http://elsewhere/"}, "spec.sink.uri"),
        ({"ref": {"kind": "Broker", "name": "x"}}, "spec.sink.ref.apiVersion"),
        ({"ref": {**BROKER, "name": ""}}, "spec.sink.ref.name"),
        ({"ref": BROKER, "CACerts": "PEM"}, "spec.sink.CACerts"),
        ({"ref": BROKER, "audience": "me"}, "spec.sink.audience"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(destination: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestError) as refused:
        Sink(destination, "ns", Addresses(), "spec.sink")
    assert refused.value.field == field
