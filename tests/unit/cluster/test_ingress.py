"""What the ingress controller says of an Ingress, and what must be applied beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import yaml

from kaito.api.resources import Object
from tests.cluster import ingress as module
from tests.cluster.ingress import GATEWAYS, INGRESS_CLASS, ours, status

THEN, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
GPU: Object = {"metadata": {"generation": 3, "annotations": {"networking.knative.dev/ingress.class": INGRESS_CLASS}}}


def statuses(of: Object) -> dict[str, str]:
    return {it["type"]: it["status"] for it in of["conditions"]}


def test_a_served_ingress_is_ready_at_its_generation() -> None:
    made = status(GPU, "", NOW)
    assert statuses(made) == {"LoadBalancerReady": "True", "NetworkConfigured": "True", "Ready": "True"}
    assert made["observedGeneration"] == 3
    assert made["publicLoadBalancer"] == {"ingress": [{"domainInternal": "gateway.kaito-ingress.svc.cluster.local"}]}
    assert made["conditions"][2] == {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:00Z"}


def test_a_problem_is_said_and_ends_by_itself() -> None:
    made = status(GPU, "the Service a/b has no cluster address at port 80 yet", NOW)
    assert statuses(made) == {"LoadBalancerReady": "True", "NetworkConfigured": "Unknown", "Ready": "Unknown"}
    assert made["conditions"][2]["message"] == "the Service a/b has no cluster address at port 80 yet"


def test_a_status_that_says_the_same_is_the_same() -> None:
    before = status(GPU, "", THEN)
    assert status({**GPU, "status": before}, "", NOW) == before


def test_only_our_class_is_ours() -> None:
    others: Object = {"metadata": {"annotations": {"networking.knative.dev/ingress.class": "kourier"}}}
    bare: Object = {"metadata": {}}
    assert [ours(it) for it in (GPU, others, bare)] == [True, False, False]


def test_the_gateways_of_the_status_are_services_with_endpoints() -> None:
    text = Path(module.__file__).with_suffix(".yaml").read_text()
    applied = {(it["kind"], it["metadata"]["name"]): it for it in yaml.safe_load_all(text)}
    for gateway in GATEWAYS.values():
        name, namespace, *_ = gateway.split(".")
        service, endpoints = applied["Service", name], applied["EndpointSlice", name]
        assert service["metadata"]["namespace"] == endpoints["metadata"]["namespace"] == namespace
        assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == name
        assert service["spec"]["ports"][0]["targetPort"] == endpoints["ports"][0]["port"]
        assert service["spec"]["ports"][0]["name"] == endpoints["ports"][0]["name"]
