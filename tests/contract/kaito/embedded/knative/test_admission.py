"""Our admission against the answers of the real Knative webhook, field by field and flag by flag."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaito.api.resources import Object
from kaito.embedded.knative.admission import refusals
from kaito.embedded.knative.schema import malformed

MATRIX = Path(__file__).parents[3] / "fixtures" / "knative" / "admission-matrix.txt"
#: Whose answer depends on what else the cluster has.
ELSEWHERE = {"runtimeClassName", "priorityClassName", "serviceAccountName+imagePullSecrets"}


def _matrix() -> list[tuple[str, frozenset[str], bool]]:
    """(case, flags on, admitted) of each answer."""
    rows, case = [], ""
    for line in MATRIX.read_text().splitlines():
        if not line.startswith(" "):
            case = line
            continue
        condition, _, answer = line.strip().partition(": ")
        flags = re.findall(r"[\w.-]+", condition.removeprefix("with ").removesuffix("=enabled"))
        rows.append((case, frozenset(flags if condition != "default" else ()), answer == "OK"))
    return rows


def _service(**template: Any) -> Object:
    container = {"name": "c", "image": "registry.example/app:1", "ports": [{"containerPort": 5000}]}
    return {"spec": {"template": {"metadata": {"annotations": {}}, "spec": {"containers": [container]}, **template}}}


def pod(**fields: Any) -> Object:
    service = _service()
    service["spec"]["template"]["spec"] |= fields
    return service


def container(**fields: Any) -> Object:
    service = _service()
    service["spec"]["template"]["spec"]["containers"][0] |= fields
    return service


def volume(mount: Object | None = None, **source: Any) -> Object:
    service = container(volumeMounts=[{"name": "v", "mountPath": "/v", **(mount or {})}])
    service["spec"]["template"]["spec"]["volumes"] = [{"name": "v", **source}]
    return service


def sidecar(**fields: Any) -> Object:
    service = _service()
    service["spec"]["template"]["spec"]["containers"].append(
        {"name": "s", "image": "registry.example/side:1", **fields}
    )
    return service


def scale(**annotations: str) -> Object:
    prefixed = {f"autoscaling.knative.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return _service(metadata={"annotations": prefixed})


def env(**variable: Any) -> Object:
    return container(env=[{"name": "E", **variable}])


def probe(**fields: Any) -> Object:
    return container(readinessProbe={"httpGet": {"path": "/health", "port": 5000}, **fields})


HTTP = {"httpGet": {"path": "/health", "port": 5000}}
CASES: dict[str, Callable[[], Object]] = {
    "image repository of one letter": lambda: container(image="registry.example/v:1"),
    "limits nvidia.com/gpu": lambda: container(resources={"limits": {"nvidia.com/gpu": "1"}}),
    "nodeSelector": lambda: pod(nodeSelector={"a": "b"}),
    "tolerations": lambda: pod(tolerations=[{"operator": "Exists"}]),
    "affinity": lambda: pod(affinity={"nodeAffinity": {}}),
    "topologySpreadConstraints": lambda: pod(topologySpreadConstraints=[{"maxSkew": 1}]),
    "runtimeClassName": lambda: pod(runtimeClassName="nvidia"),
    "priorityClassName": lambda: pod(priorityClassName="p"),
    "schedulerName": lambda: pod(schedulerName="s"),
    "pod securityContext": lambda: pod(securityContext={"fsGroup": 1}),
    "initContainers": lambda: pod(initContainers=[{"name": "i", "image": "registry.example/i:1"}]),
    "initContainer restartPolicy=Always": lambda: pod(
        initContainers=[{"name": "i", "image": "registry.example/i:1", "restartPolicy": "Always"}]
    ),
    "2 containers": sidecar,
    "2 containers, probe on sidecar": lambda: sidecar(readinessProbe=HTTP),
    "2 ports": lambda: container(ports=[{"containerPort": 5000}, {"containerPort": 5001}]),
    "port name http": lambda: container(ports=[{"containerPort": 5000, "name": "http"}]),
    "port name http1": lambda: container(ports=[{"containerPort": 5000, "name": "http1"}]),
    "hostPort": lambda: container(ports=[{"containerPort": 5000, "hostPort": 5000}]),
    "container named queue-proxy": lambda: container(name="queue-proxy"),
    "port 8012": lambda: container(ports=[{"containerPort": 8012}]),
    "port 8080": lambda: container(ports=[{"containerPort": 8080}]),
    "port 9090": lambda: container(ports=[{"containerPort": 9090}]),
    "emptyDir Memory /dev/shm": lambda: volume({"mountPath": "/dev/shm"}, emptyDir={"medium": "Memory"}),
    "emptyDir mounted at /dev": lambda: volume({"mountPath": "/dev"}, emptyDir={}),
    "configMap volume": lambda: volume(configMap={"name": "c"}),
    "secret volume": lambda: volume(secret={"secretName": "s"}),
    "projected SA token": lambda: volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
    "PVC readOnly": lambda: volume(persistentVolumeClaim={"claimName": "w", "readOnly": True}),
    "PVC rw": lambda: volume(persistentVolumeClaim={"claimName": "w"}),
    "hostPath": lambda: volume(hostPath={"path": "/x"}),
    "ephemeral": lambda: volume(ephemeral={}),
    "csi": lambda: volume(csi={"driver": "d"}),
    "image volume": lambda: volume(image={"reference": "registry.example/w:1"}),
    "nfs volume": lambda: volume(nfs={"server": "s", "path": "/"}),
    "mount subPath": lambda: volume({"subPath": "x"}, emptyDir={}),
    "mountPropagation": lambda: volume({"mountPropagation": "HostToContainer"}, emptyDir={}),
    "env fieldRef": lambda: env(valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
    "env resourceFieldRef": lambda: env(valueFrom={"resourceFieldRef": {"resource": "limits.cpu"}}),
    "env secretKeyRef": lambda: env(valueFrom={"secretKeyRef": {"name": "s", "key": "k"}}),
    "envFrom": lambda: container(envFrom=[{"configMapRef": {"name": "c"}}]),
    "env PORT": lambda: env(name="PORT", value="1"),
    "env K_SERVICE": lambda: env(name="K_SERVICE", value="x"),
    "readinessProbe other port": lambda: probe(httpGet={"path": "/", "port": 5001}),
    "readinessProbe initialDelay": lambda: probe(initialDelaySeconds=5),
    "readinessProbe period 10 timeout 5 fail 30": lambda: probe(
        periodSeconds=10, timeoutSeconds=5, failureThreshold=30
    ),
    "livenessProbe": lambda: container(livenessProbe=HTTP),
    "startupProbe": lambda: container(startupProbe=HTTP),
    "container capabilities add": lambda: container(securityContext={"capabilities": {"add": ["SYS_PTRACE"]}}),
    "container privileged": lambda: container(securityContext={"privileged": True}),
    "container runAsUser": lambda: container(securityContext={"runAsUser": 1000}),
    "lifecycle preStop": lambda: container(lifecycle={"preStop": {"exec": {"command": ["true"]}}}),
    "stdin": lambda: container(stdin=True),
    "workingDir+command+args": lambda: container(workingDir="/w", command=["c"], args=["a"]),
    "hostNetwork": lambda: pod(hostNetwork=True),
    "hostIPC": lambda: pod(hostIPC=True),
    "hostPID": lambda: pod(hostPID=True),
    "shareProcessNamespace": lambda: pod(shareProcessNamespace=True),
    "dnsPolicy": lambda: pod(dnsPolicy="ClusterFirst"),
    "dnsConfig": lambda: pod(dnsConfig={}),
    "hostAliases": lambda: pod(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["h"]}]),
    "serviceAccountName+imagePullSecrets": lambda: pod(serviceAccountName="s", imagePullSecrets=[{"name": "p"}]),
    "restartPolicy": lambda: pod(restartPolicy="Always"),
    "terminationGracePeriodSeconds": lambda: pod(terminationGracePeriodSeconds=30),
    "enableServiceLinks false": lambda: pod(enableServiceLinks=False),
    "automountServiceAccountToken false": lambda: pod(automountServiceAccountToken=False),
    "resourceClaims (DRA)": lambda: pod(resourceClaims=[{"name": "c"}]),
    "nodeName": lambda: pod(nodeName="n"),
    "activeDeadlineSeconds": lambda: pod(activeDeadlineSeconds=5),
    "timeoutSeconds 600": lambda: pod(timeoutSeconds=600),
    "timeoutSeconds 601": lambda: pod(timeoutSeconds=601),
    "timeoutSeconds 300 + responseStartTimeoutSeconds 301": lambda: pod(
        timeoutSeconds=300, responseStartTimeoutSeconds=301
    ),
    "containerConcurrency 1001": lambda: pod(containerConcurrency=1001),
    "min-scale>max-scale": lambda: scale(min_scale="3", max_scale="2"),
    "min-scale 0,target 0.001": lambda: scale(min_scale="0", target="0.001"),
    "scale-to-zero-pod-retention-period 2h": lambda: scale(scale_to_zero_pod_retention_period="2h"),
    "progress-deadline 30m": lambda: _service(
        metadata={"annotations": {"serving.knative.dev/progress-deadline": "30m"}}
    ),
    "unknown anno autoscaling.knative.dev/foo": lambda: scale(foo="x"),
}


def test_every_case_of_the_matrix_is_here() -> None:
    assert {case for case, _, _ in _matrix()} == CASES.keys()


@pytest.mark.parametrize(("case", "flags", "admitted"), [row for row in _matrix() if row[0] not in ELSEWHERE])
def test_as_the_real_webhook(case: str, flags: frozenset[str], admitted: bool) -> None:
    assert (refusals(CASES[case](), flags) == []) is admitted


def test_the_refusal_names_the_field() -> None:
    assert refusals(pod(nodeName="n")) == ["must not set the field(s): spec.template.spec.nodeName"]


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_the_webhook_could_read_is_well_formed(case: str) -> None:
    assert malformed(CASES[case]()) == []
