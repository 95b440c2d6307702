"""What Knative's webhook would refuse in a Service, and what the embedded runner cannot run: said, never ignored.

The rules are those of the real webhook's answers, recorded in tests/contract/fixtures/knative/admission-matrix.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from kaito.api.durations import seconds
from kaito.api.resources import Object

RESERVED_ENV: Final = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
RESERVED_PORTS: Final = frozenset({8008, 8012, 8013, 8022, 9090, 9091})
RESERVED_PATHS: Final = frozenset({"/", "/dev", "/dev/log", "/tmp", "/var", "/var/log"})  # noqa: S108
PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")

_POD: Final = "spec.template.spec"
_POD_FIELDS: Final = frozenset(
    [
        "containers",
        "volumes",
        "serviceAccountName",
        "imagePullSecrets",
        "enableServiceLinks",
        "automountServiceAccountToken",
        "containerConcurrency",
        "timeoutSeconds",
        "responseStartTimeoutSeconds",
        "idleTimeoutSeconds",
    ]
)
_FLAG_OF_POD_FIELD: Final = {
    "initContainers": "kubernetes.podspec-init-containers",
    **{
        field: f"kubernetes.podspec-{field.lower()}"
        for field in [
            "nodeSelector",
            "tolerations",
            "affinity",
            "topologySpreadConstraints",
            "runtimeClassName",
            "priorityClassName",
            "schedulerName",
            "securityContext",
            "hostNetwork",
            "hostIPC",
            "hostPID",
            "shareProcessNamespace",
            "dnsPolicy",
            "dnsConfig",
            "hostAliases",
        ]
    },
}
_CONTAINER_FIELDS: Final = frozenset(
    [
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "envFrom",
        "ports",
        "resources",
        "volumeMounts",
        "securityContext",
        "imagePullPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
    ]
) | set(PROBES)
_PORT_FIELDS: Final = frozenset({"name", "containerPort", "protocol"})
_VOLUMES: Final = frozenset({"secret", "configMap", "projected", "emptyDir"})
_FLAG_OF_VOLUME: Final = {
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
    **{kind: f"kubernetes.podspec-volumes-{kind.lower()}" for kind in ("hostPath", "csi", "ephemeral", "image")},
}
_FIELD_REF_FLAG: Final = "kubernetes.podspec-fieldref"
_LIMITS: Final = {"timeoutSeconds": 600, "containerConcurrency": 1000}


def refusals(service: Object, flags: frozenset[str] = frozenset()) -> list[str]:
    """What Knative Serving with these feature flags refuses in a well-formed ``service``; empty when it admits it."""
    template = service["spec"]["template"]
    spec = template["spec"]
    return [
        *_pod_fields(spec, flags),
        *_bounds(spec),
        *_ports(spec["containers"]),
        *(problem for index in range(len(spec["containers"])) for problem in _container(spec, index, flags)),
        *_volumes(spec, flags),
        *_scale((template.get("metadata") or {}).get("annotations") or {}),
    ]


def unsupported(service: Object) -> list[str]:
    """What Knative would run and the embedded runner cannot; to be asked only where there are no refusals."""
    template = service["spec"]["template"]
    spec = template["spec"]
    containers = spec["containers"]
    problems = []
    if len(containers) > 1:
        problems.append("the embedded platform runs one process per Service: leave one container")
    if spec.get("initContainers"):
        problems.append("the embedded platform runs no initContainers: let the container do their work")
    if not containers[0].get("command"):
        problems.append("the embedded platform runs processes, not images: set the container's command")
    problems += [
        f"volume {volume['name']!r}: the embedded platform mounts emptyDir, configMap, secret and image volumes only"
        for volume in spec.get("volumes") or ()
        if not {"emptyDir", "configMap", "secret", "image"} & volume.keys()
    ]
    problems += [
        f"{probe}: the embedded platform probes by httpGet, tcpSocket or exec, not by grpc"
        for probe in PROBES
        if "grpc" in (containers[0].get(probe) or {})
    ]
    affinity = spec.get("affinity") or {}
    problems += [
        f"{kind}: the embedded platform places by node affinity only"
        for kind in ("podAffinity", "podAntiAffinity")
        if (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    ]
    if (template.get("metadata") or {}).get("name"):
        problems.append("the embedded platform names revisions itself: leave out spec.template.metadata.name")
    traffic = service["spec"].get("traffic") or []
    if traffic and [{k: v for k, v in t.items() if v} for t in traffic] != [{"latestRevision": True, "percent": 100}]:
        problems.append("the embedded platform routes all traffic to the latest revision: leave out spec.traffic")
    return problems


def _must_not(paths: Iterable[str]) -> Iterator[str]:
    paths = list(paths)
    if paths:
        yield f"must not set the field(s): {', '.join(paths)}"


def _pod_fields(spec: Object, flags: frozenset[str]) -> Iterator[str]:
    allowed = _POD_FIELDS | {field for field, flag in _FLAG_OF_POD_FIELD.items() if flag in flags}
    yield from _must_not(f"{_POD}.{field}" for field in spec if field not in allowed)
    if spec.get("automountServiceAccountToken"):
        yield from _must_not([f"{_POD}.automountServiceAccountToken"])
    for index, container in enumerate(spec.get("initContainers") or ()):
        extra = [field for field in container if field not in _CONTAINER_FIELDS - set(PROBES)]
        yield from _must_not(f"{_POD}.initContainers[{index}].{field}" for field in extra)


def _bounds(spec: Object) -> Iterator[str]:
    for field, most in _LIMITS.items():
        value = spec.get(field) or 0
        if not 0 <= value <= most:
            yield f"expected 0 <= {value} <= {most}: {_POD}.{field}"


def _ports(containers: list[Object]) -> Iterator[str]:
    ports = [port for container in containers for port in container.get("ports") or ()]
    where = f"{_POD}.containers[*].ports"
    if len(ports) > 1:
        yield f"more than one container port is set: {where}; only a single port is allowed across all containers"
    for port in ports:
        yield from _must_not(f"{where}.{field}" for field in port if field not in _PORT_FIELDS)
        if port.get("name", "") not in ("", "h2c", "http1"):
            yield f"port name {port['name']} is not allowed: {where}; it must be empty, 'h2c' or 'http1'"
        if port.get("containerPort") in RESERVED_PORTS:
            yield f"{port['containerPort']} is a reserved port: {where}; use a different one"
        if port.get("protocol", "TCP") != "TCP":
            yield f"invalid value: {port['protocol']}: {where}.protocol"


def _container(spec: Object, index: int, flags: frozenset[str]) -> Iterator[str]:
    container, where = spec["containers"][index], f"{_POD}.containers[{index}]"
    yield from _must_not(f"{where}.{field}" for field in container if field not in _CONTAINER_FIELDS)
    if container.get("name") == "queue-proxy":
        yield f'"queue-proxy" is a reserved container name: {where}.name'
    if not _is_image(container.get("image") or ""):
        yield f"failed to parse image reference {container.get('image')!r}: {where}.image"
    sidecar = len(spec["containers"]) > 1 and not container.get("ports")
    if sidecar and "multi-container-probing" not in flags:
        yield from _must_not(f"{where}.{probe}" for probe in PROBES if probe in container)
    for variable in container.get("env") or ():
        if variable["name"] in RESERVED_ENV:
            yield f'"{variable["name"]}" is a reserved environment variable: {where}.env'
        refs = {"fieldRef", "resourceFieldRef"} & (variable.get("valueFrom") or {}).keys()
        if _FIELD_REF_FLAG not in flags:
            yield from _must_not(f"{where}.env[{variable['name']}].valueFrom.{ref}" for ref in sorted(refs))
    security = container.get("securityContext") or {}
    if security.get("privileged"):
        yield from _must_not([f"{where}.securityContext.privileged"])
    if (security.get("capabilities") or {}).get("add") and "kubernetes.containerspec-addcapabilities" not in flags:
        yield from _must_not([f"{where}.securityContext.capabilities.add"])
    yield from _mounts(spec, container, where, flags)


def _mounts(spec: Object, container: Object, where: str, flags: frozenset[str]) -> Iterator[str]:
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        path = mount["mountPath"]
        if not path.startswith("/") or path.rstrip("/") in RESERVED_PATHS | {""}:
            yield f'mountPath "{path}" is a reserved or relative path: {where}.volumeMounts'
        if mount["name"] not in volumes:
            yield f'no volume named "{mount["name"]}": {where}.volumeMounts'
        if "subPathExpr" in mount:
            yield from _must_not([f"{where}.volumeMounts.subPathExpr"])
        if "mountPropagation" in mount and "kubernetes.podspec-volumes-mount-propagation" not in flags:
            yield from _must_not([f"{where}.volumeMounts.mountPropagation"])


def _volumes(spec: Object, flags: frozenset[str]) -> Iterator[str]:
    allowed = _VOLUMES | {kind for kind, flag in _FLAG_OF_VOLUME.items() if flag in flags}
    for volume in spec.get("volumes") or ():
        where = f"{_POD}.volumes[{volume['name']}]"
        yield from _must_not(f"{where}.{kind}" for kind in volume if kind != "name" and kind not in allowed)
        claim = volume.get("persistentVolumeClaim")
        if claim and not claim.get("readOnly") and "kubernetes.podspec-persistent-volume-write" not in flags:
            yield f"persistent volume write support is disabled: {where}.persistentVolumeClaim must be readOnly"


def _scale(annotations: dict[str, str]) -> Iterator[str]:
    def value(name: str, default: str) -> str:
        return annotations.get(f"autoscaling.knative.dev/{name}", default)

    try:
        least, most, first = (int(value(f"{n}-scale", d)) for n, d in (("min", "0"), ("max", "0"), ("initial", "1")))
        target = float(value("target", "1"))
        window = seconds(value("window", "60s"))
        retention = seconds(value("scale-to-zero-pod-retention-period", "0s"))
        deadline = seconds(annotations.get("serving.knative.dev/progress-deadline", "600s"))
    except ValueError as error:
        yield f"invalid value: {error}: spec.template.metadata.annotations"
        return
    rules = {
        f"max-scale={most} is less than min-scale={least}": most == 0 or least <= most,
        "min-scale and max-scale must not be negative": least >= 0 and most >= 0,
        f"initial-scale {first} should be at least 1": first >= 1,
        f"target {target:g} should be at least 0.01": target >= 0.01,
        f"expected 6s <= window {window:g}s <= 1h": 6 <= window <= 3600,
        f"expected 0s <= scale-to-zero-pod-retention-period {retention:g}s <= 1h": retention <= 3600,
        f"progress-deadline {deadline:g}s should be at least 1s": deadline >= 1,
    }
    yield from (f"{sentence}: spec.template.metadata.annotations" for sentence, holds in rules.items() if not holds)


def _is_image(reference: str) -> bool:
    """A repository of 2 to 255 characters, as the registry library that Knative uses demands."""
    path = reference.partition("@")[0]
    host, slash, rest = path.partition("/")
    if slash and (re.search(r"[.:]", host) or host == "localhost"):
        path = rest
    repository = path.partition(":")[0]
    return re.fullmatch(r"[a-z0-9._/-]{2,255}", repository) is not None
