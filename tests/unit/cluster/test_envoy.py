"""What Envoy is told for Knative's Ingresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaito.api.resources import Object
from tests.cluster.envoy import (
    DESTINATION,
    EXTERNAL,
    H2C,
    HTTP,
    INTERNAL,
    NOWHERE,
    PROBE_HOST,
    Address,
    Key,
    Rendering,
    bootstrap,
    render,
)

FIXTURES = Path(__file__).parents[2] / "contract" / "fixtures" / "knative"
HOST = "gpu.default.kaito.test"


def ingress(*rules: Object, name: str = "gpu", created: str = "2026-01-01T00:00:00Z") -> Object:
    meta = {"namespace": "default", "name": name, "creationTimestamp": created}
    return {"metadata": meta, "spec": {"rules": list(rules)}}


def rule(*paths: Object, hosts: tuple[str, ...] = (HOST,), **more: object) -> Object:
    return {"hosts": list(hosts), "http": {"paths": list(paths)}, **more}


def split(name: str, **more: object) -> Object:
    return {"serviceNamespace": "default", "serviceName": name, "servicePort": 80, **more}


def service(address: str, port_name: str = "http", port: int = 80) -> Object:
    return {"spec": {"clusterIP": address, "ports": [{"name": port_name, "port": port}]}}


SERVICES: dict[Key, Object] = {
    ("default", "gpu-00001"): service("10.96.0.1"),
    ("default", "gpu-00002"): service("10.96.0.2", "http2"),
    ("default", "headless"): service("None"),
    ("default", "mapped"): {"spec": {"type": "ExternalName", "externalName": "gateway.ingress.svc.cluster.local"}},
    ("ingress", "gateway"): service("10.96.0.9"),
}


def routes(rendering: Rendering, listener: str = EXTERNAL) -> dict[str, list[Any]]:
    """The routes at each host."""
    hosts = rendering.routes[listener]["virtual_hosts"]
    return {domain: it["routes"] for it in hosts for domain in it["domains"]}


def added(part: Object) -> dict[str, str]:
    return {it["header"]["key"]: it["header"]["value"] for it in part["request_headers_to_add"]}


def targets(route: Object) -> list[Any]:
    found: list[Any] = route["route"]["weighted_clusters"]["clusters"]
    return found


def test_knatives_own_ingress_is_served_inside_only() -> None:
    gpu = yaml.safe_load((FIXTURES / "ksvc-gpu-kingress.yaml").read_text())
    rendering = render([gpu], SERVICES)
    assert set(routes(rendering)) == {PROBE_HOST, "*"}
    inside = routes(rendering, INTERNAL)
    assert set(inside) == {"gpu.default", "gpu.default.svc", "gpu.default.svc.cluster.local", PROBE_HOST, "*"}
    (route,) = inside["gpu.default"]
    (target,) = targets(route)
    assert added(target) == {
        "Knative-Serving-Namespace": "default",
        "Knative-Serving-Revision": "gpu-00001",
        DESTINATION: "10.96.0.1:80",
    }
    assert route["route"]["timeout"] == "0s"
    assert rendering.problems == {}


def test_what_is_visible_outside_is_visible_inside_too() -> None:
    rendering = render([ingress(rule({"splits": [split("gpu-00001")]}))], SERVICES)
    assert routes(rendering)[HOST] == routes(rendering, INTERNAL)[HOST]


@pytest.mark.parametrize(
    ("splits", "weights"),
    [
        ([{}], [100]),
        ([{"percent": 100}], [100]),
        ([{"percent": 90}, {"percent": 10}], [90, 10]),
        ([{"percent": 0}, {"percent": 100}], [100]),
    ],
)
def test_splits_are_weights(splits: list[Object], weights: list[int]) -> None:
    path = {"splits": [split("gpu-00001", **it) for it in splits]}
    (route,) = routes(render([ingress(rule(path))], SERVICES))[HOST]
    assert [it["weight"] for it in targets(route)] == weights


def test_a_path_says_prefix_headers_and_host() -> None:
    path = {
        "path": "/chat",
        "headers": {"Knative-Serving-Tag": {"exact": "next"}},
        "rewriteHost": "gpu.default",
        "appendHeaders": {"Share": "100%"},
        "splits": [split("gpu-00001")],
    }
    (route,) = routes(render([ingress(rule(path))], SERVICES))[HOST]
    matched = {"name": "Knative-Serving-Tag", "string_match": {"exact": "next"}}
    assert route["match"] == {"prefix": "/chat", "headers": [matched]}
    assert route["route"]["host_rewrite_literal"] == "gpu.default"
    assert added(route) == {"Share": "100%%"}  # a single % begins a command of Envoy's


@pytest.mark.parametrize(
    ("to", "address", "cluster"),
    [
        ({}, "10.96.0.1:80", HTTP),
        ({"servicePort": "http"}, "10.96.0.1:80", HTTP),
        ({"serviceName": "gpu-00002"}, "10.96.0.2:80", H2C),
        ({"serviceName": "mapped"}, "10.96.0.9:80", HTTP),
    ],
)
def test_a_split_goes_to_the_services_address_by_its_protocol(to: Object, address: str, cluster: str) -> None:
    path = {"splits": [{**split("gpu-00001"), **to}]}
    (route,) = routes(render([ingress(rule(path))], SERVICES))[HOST]
    (target,) = targets(route)
    assert (added(target)[DESTINATION], target["name"]) == (address, cluster)


@pytest.mark.parametrize(
    "to", [{"serviceName": "absent"}, {"serviceName": "headless"}, {"servicePort": 81}, {"servicePort": "grpc"}]
)
def test_a_service_that_cannot_be_reached_is_a_problem_and_goes_nowhere(to: Object) -> None:
    target = {**split("gpu-00001"), **to}
    rendering = render([ingress(rule({"splits": [target]}))], SERVICES)
    (route,) = routes(rendering)[HOST]
    where = f"default/{target['serviceName']}"
    port = target["servicePort"]
    assert rendering.problems == {("default", "gpu"): f"the Service {where} has no cluster address at port {port} yet"}
    assert [it["name"] for it in targets(route)] == [NOWHERE]


def test_a_host_belongs_to_the_older_ingress() -> None:
    younger = ingress(rule({"splits": [split("gpu-00002")]}), name="a", created="2026-02-02T00:00:00Z")
    older = ingress(rule({"splits": [split("gpu-00001")]}), name="b")
    rendering = render([younger, older], SERVICES)
    (route,) = routes(rendering)[HOST]
    assert [added(it)[DESTINATION] for it in targets(route)] == ["10.96.0.1:80"]
    assert rendering.problems == {("default", "a"): f"the host {HOST} belongs to default/b/0"}


def test_no_ingress_leaves_the_version_and_the_404() -> None:
    rendering = render((), SERVICES)
    served = routes(rendering)
    assert set(served) == {PROBE_HOST, "*"}
    assert served[PROBE_HOST][0]["direct_response"]["body"]["inline_string"] == rendering.version
    assert served["*"][0]["direct_response"]["status"] == 404


def test_the_version_changes_with_what_is_served_and_only_then() -> None:
    def version(order: int, address: str) -> str:
        each = [ingress(rule({"splits": [split("gpu-00001")]}, hosts=(name,)), name=name) for name in ("a", "b")]
        return render(each[::order], {("default", "gpu-00001"): service(address)}).version

    assert version(1, "10.96.0.1") == version(-1, "10.96.0.1") != version(1, "10.96.0.3")


def test_the_bootstrap_opens_no_port_but_the_listeners(tmp_path: Path) -> None:
    listeners = {EXTERNAL: Address.parse("10.88.0.2:80"), INTERNAL: Address.parse("10.88.0.2:8080")}
    made = bootstrap(tmp_path, listeners)
    assert [it["address"] for it in made["static_resources"]["listeners"]] == [
        {"socket_address": {"address": "10.88.0.2", "port_value": port}} for port in (80, 8080)
    ]
    assert "admin" not in made
    assert json.dumps(made).count("path_config_source") == 2


@pytest.mark.parametrize("text", ["", "10.88.0.2", "10.88.0.2:http"])
def test_an_address_needs_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Address.parse(text)
