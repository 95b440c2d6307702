"""ConfigMaps and Secrets: as a container sees them (files of a volume, environment variables), and Knative's own."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from kaito.api.resources import CONFIG_MAP, SECRET, Kind, Object
from kaito.embedded.knative.revision import PodFailure
from kaito.runtime.kube import Kube


def read(kube: Kube, kind: Kind, namespace: str, reference: Object) -> dict[str, bytes] | None:
    """Its keys and values, None where it is absent and ``reference`` says ``optional``."""
    name = reference.get("name") or reference.get("secretName")
    found = kube.get(kind, str(name), namespace)
    if found is None:
        if reference.get("optional"):
            return None
        raise PodFailure("CreateContainerConfigError", f'{kind.kind.lower()} "{name}" not found: create it')
    encoded = found.get("data") if kind == SECRET else found.get("binaryData")
    values = {key: base64.b64decode(value) for key, value in (encoded or {}).items()}
    if kind == CONFIG_MAP:
        values |= {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return values


def files(kube: Kube, kind: Kind, namespace: str, source: Object) -> dict[str, bytes]:
    """The files of a configMap or secret volume by their relative path; ``items`` selects and renames."""
    values = read(kube, kind, namespace, source) or {}
    if not source.get("items"):
        return values
    chosen = {}
    for item in source["items"]:
        if item["key"] in values:
            chosen[item["path"]] = values[item["key"]]
        elif not source.get("optional"):
            raise PodFailure("FailedMount", f'{kind.kind.lower()} references non-existent key "{item["key"]}"')
    return chosen


def variables(kube: Kube, namespace: str, container: Object) -> Iterator[tuple[str, str]]:
    """The container's own variables in the order of ``envFrom`` and ``env``; a later one of a name wins."""
    for source in container.get("envFrom") or ():
        kind, reference = _kind_of(source, "configMapRef", "secretRef")
        for key, value in (read(kube, kind, namespace, reference) or {}).items():
            yield source.get("prefix", "") + key, value.decode(errors="replace")
    for variable in container.get("env") or ():
        if not variable.get("valueFrom"):
            yield variable["name"], variable.get("value") or ""
            continue
        kind, reference = _kind_of(variable["valueFrom"], "configMapKeyRef", "secretKeyRef")
        values = read(kube, kind, namespace, reference) or {}
        if reference["key"] in values:
            yield variable["name"], values[reference["key"]].decode(errors="replace")
        elif not reference.get("optional"):
            raise PodFailure(
                "CreateContainerConfigError",
                f'{kind.kind.lower()} "{reference["name"]}" has no key "{reference["key"]}"',
            )


def features(kube: Kube) -> frozenset[str]:
    """What Knative Serving's ``config-features`` enables: config/knative/features.yaml, unless somebody changed it."""
    found = kube.get(CONFIG_MAP, "config-features", "knative-serving") or {}
    return frozenset(name for name, value in (found.get("data") or {}).items() if value.lower() == "enabled")


def _kind_of(source: Object, config_map: str, secret: str) -> tuple[Kind, Object]:
    return (CONFIG_MAP, source[config_map]) if config_map in source else (SECRET, source[secret])
