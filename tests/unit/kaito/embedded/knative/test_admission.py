from __future__ import annotations

from typing import Any

import pytest

from kaito.api.resources import Object
from kaito.embedded.knative.admission import refusals, unsupported
from kaito.embedded.knative.schema import malformed


def service(pod: Object | None = None, traffic: list[Object] | None = None, **container: Any) -> Object:
    containers = [{"image": "registry.example/app:1", "command": ["app"], **container}]
    spec: Object = {"template": {"metadata": {}, "spec": {"containers": containers, **(pod or {})}}}
    return {"spec": {**spec, **({"traffic": traffic} if traffic else {})}}


def test_a_plain_service_is_taken() -> None:
    plain = service(traffic=[{"latestRevision": True, "percent": 100}])
    assert malformed(plain) + refusals(plain) + unsupported(plain) == []


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (service(command=[]), "set the container's command"),
        (service({"initContainers": [{"name": "i"}]}), "no initContainers"),
        (service({"volumes": [{"name": "t", "projected": {}}]}), "volume 't'"),
        (service(readinessProbe={"grpc": {"port": 1}}), "not by grpc"),
        (service(traffic=[{"revisionName": "x-00001", "percent": 100}]), "latest revision"),
        (
            service({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "node affinity only",
        ),
    ],
)
def test_what_only_a_cluster_can_run(wanted: Object, word: str) -> None:
    assert [word in problem for problem in unsupported(wanted)] == [True]


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (service(env=[{"name": "A", "value": 1}]), "spec.template.spec.containers.0.env.0.value: "),
        (service(env=[{"value": "1"}]), "spec.template.spec.containers.0.env.0.name: "),
        (service(resources={"limits": {"nvidia.com/gpu": "half"}}), "spec.template.spec.containers.0.resources"),
        (service({"volumes": [{"name": "../up"}]}), "spec.template.spec.volumes.0.name: "),
        (service({"timeoutSeconds": "300"}), "spec.template.spec.timeoutSeconds: "),
        ({"spec": {"template": {}}}, "spec.template.spec: "),
        ({"spec": {"template": {"spec": {"containers": []}}}}, "spec.template.spec.containers: "),
    ],
)
def test_what_no_api_server_would_have_read(wanted: Object, problem: str) -> None:
    assert [said.startswith(problem) for said in malformed(wanted)] == [True]
