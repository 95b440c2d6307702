"""The manifests under config/, the very ones a cluster gets, applied to the embedded API server."""

from __future__ import annotations

import copy
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import yaml

from kaito.api.conditions import conditions_of
from kaito.api.resources import CRD, KNATIVE_SERVICE, NAMESPACE, Kind, Object
from kaito.embedded.error import EmbeddedError
from kaito.runtime.kube import Kube

CONFIG: Final = Path(__file__).parents[2] / "config"
MANAGER: Final = "kaito-up"
_ESTABLISHED_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02


class ManifestsError(EmbeddedError):
    """The manifests cannot be built or installed; the message is kubectl's or the API server's own."""


def build(kubectl: Path, overlay: Path) -> list[Object]:
    """The objects of a kustomization, in kubectl's own order."""
    built = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, check=False)
    if built.returncode:
        raise ManifestsError(f"kubectl kustomize {overlay}: {built.stderr.strip()}")
    return [document for document in yaml.load_all(built.stdout, Loader=yaml.CSafeLoader) if document]


def with_environment(
    objects: Iterable[Object], environment: Mapping[str, str], service: str | None = None
) -> list[Object]:
    """The objects, with these variables in the container of that Knative Service, or of each."""
    return [_with_variables(obj, environment) if _is_service(obj, service) else obj for obj in objects]


def _is_service(obj: Object, name: str | None) -> bool:
    return Kind.of(obj) == KNATIVE_SERVICE and name in (None, obj["metadata"]["name"])


def _with_variables(obj: Object, environment: Mapping[str, str]) -> Object:
    copied = copy.deepcopy(obj)
    (container,) = copied["spec"]["template"]["spec"]["containers"]
    others = [it for it in container.get("env") or () if it["name"] not in environment]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in environment.items())]
    return copied


def install_crds(kube: Kube, objects: Iterable[Object]) -> None:
    """Apply the CustomResourceDefinitions and wait until the API server serves them all."""
    crds = [obj for obj in objects if Kind.of(obj) == CRD]
    _apply_all(kube, crds)
    deadline, never = time.monotonic() + _ESTABLISHED_SECONDS, threading.Event()
    waiting = {obj["metadata"]["name"] for obj in crds}
    while waiting:
        for name in list(waiting):
            found = kube.get(CRD, name)
            established = conditions_of(found or {}).get("Established")
            if established is not None and established.status == "True":
                waiting.remove(name)
        if waiting and time.monotonic() > deadline:
            raise ManifestsError(f"the API server does not serve {', '.join(sorted(waiting))}")
        if waiting:
            never.wait(_POLL_SECONDS)


def install(kube: Kube, objects: Sequence[Object]) -> None:
    """Apply everything but the CustomResourceDefinitions; namespaces first."""
    _apply_all(kube, [obj for obj in objects if Kind.of(obj) == NAMESPACE])
    _apply_all(kube, [obj for obj in objects if Kind.of(obj) not in (CRD, NAMESPACE)])


def _apply_all(kube: Kube, objects: Sequence[Object]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda obj: kube.apply(obj, manager=MANAGER), objects))
