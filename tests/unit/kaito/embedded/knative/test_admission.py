from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.api.resources import Object
from kaito.embedded.knative.admission import refusals, unsupported
from kaito.embedded.knative.schema import malformed, without_nulls


def service(pod: Object | None = None, traffic: list[Object] | None = None, **container: Any) -> Object:
    containers = [{"image": "registry.example/app:1", "command": ["app"], **container}]
    spec: Object = {"template": {"metadata": {}, "spec": {"containers": containers, **(pod or {})}}}
    return {"spec": {**spec, **({"traffic": traffic} if traffic else {})}}


FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}
CONTAINER = "spec.template.spec.containers.0"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
EXPRESSION = f"spec.template.spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms.0.matchExpressions.0"


def node_affinity(operator: str, *values: str) -> Object:
    terms = [{"matchExpressions": [{"key": "a", "operator": operator, "values": list(values)}]}]
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}}


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
        (service(env=[{"name": "A", "valueFrom": {}}]), f"{CONTAINER}.env.0.valueFrom: must have exactly one of"),
        (service(env=[{"name": "A", "value": "1", "valueFrom": FIELD}]), f"{CONTAINER}.env.0: must not have both"),
        (service(env=[{"name": "A=B"}]), f"{CONTAINER}.env.0.name: "),
        (service(envFrom=[{}]), f"{CONTAINER}.envFrom.0: must have exactly one of configMapRef, secretRef"),
        (service(securityContext="x"), f"{CONTAINER}.securityContext: "),
        (service(securityContext={"capabilities": []}), f"{CONTAINER}.securityContext.capabilities: "),
        (service(resources={"limits": {"nvidia.com/gpu": "²"}}), f"{CONTAINER}.resources.limits: "),
        (service({"volumes": [{"name": "v", "persistentVolumeClaim": "x"}]}), "spec.template.spec.volumes.0.persist"),
        (service({"affinity": {"podAffinity": "x"}}), "spec.template.spec.affinity.podAffinity: "),
        (service(node_affinity("Gt")), f"{EXPRESSION}: the operator Gt needs one value, a whole number"),
        (service(node_affinity("Lt", "many")), f"{EXPRESSION}: the operator Lt needs one value"),
        (service(node_affinity("In")), f"{EXPRESSION}: the operator In needs values"),
        (service(node_affinity("Exists", "a")), f"{EXPRESSION}: the operator Exists takes no values"),
        ({"spec": {**service()["spec"], "traffic": "x"}}, "spec.traffic: "),
        ({"spec": {}}, "spec.template: "),
        ({}, "spec: "),
        ({"spec": {"template": {}}}, "spec.template.spec: "),
        ({"spec": {"template": {"spec": {"containers": []}}}}, "spec.template.spec.containers: "),
    ],
)
def test_what_no_api_server_would_have_read(wanted: Object, problem: str) -> None:
    assert [said.startswith(problem) for said in malformed(wanted)] == [True]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("env", "envFrom", "securityContext", "resources", "volumeMounts", "ports", "readinessProbe", "image")
POD_FIELDS = ("affinity", "tolerations", "volumes", "nodeSelector", "initContainers", "timeoutSeconds", "containers")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(st.sampled_from(POD_FIELDS), JSON), JSON)
def test_whatever_is_written_there_is_an_answer(container: Object, pod: Object, traffic: Any) -> None:
    wanted = without_nulls(service(pod, traffic, **container))
    problems = malformed(wanted) or refusals(wanted) or unsupported(wanted)
    assert all(isinstance(problem, str) for problem in problems)


def test_a_null_is_not_set() -> None:
    plain = without_nulls(service({"volumes": None}, env=[{"name": "A", "valueFrom": None}], securityContext=None))
    assert plain == service(env=[{"name": "A"}])
    assert malformed(plain) + refusals(plain) + unsupported(plain) == []
