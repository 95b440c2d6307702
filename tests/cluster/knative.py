"""Knative Serving and Eventing's own manifests, from their Go modules, made to fit one small node.

What differs from upstream is data, in knative.yaml beside this file.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field

from kaito.api.resources import CONFIG_MAP, CRD, NAMESPACE, Kind, Object
from kaito.embedded import gobuild
from kaito.embedded.error import EmbeddedError
from tests.cluster.programs import GO_MODULES, component

_SETTINGS: Final = Path(__file__).with_suffix(".yaml")
_DEPLOYMENT: Final = Kind("apps/v1", "Deployment")
_KO: Final = "ko://"
_COMPONENT_LABEL: Final = "app.kubernetes.io/component"
#: Kinds that others need come before those, what starts programs last. All else is in between, in the files' order.
_RANKS: Final = {CRD: 0, NAMESPACE: 1, _DEPLOYMENT: 3}


class KnativeError(EmbeddedError):
    """Knative's manifests cannot be had here; the message says what to do."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dropped(_Data):
    """Objects that are left out, by kind or by their component label."""

    kinds: tuple[str, ...] = ()
    components: tuple[str, ...] = ()


class Settings(_Data):
    """knative.yaml: what is run and what is changed."""

    programs: tuple[str, ...] = ()
    sources: dict[str, dict[str, tuple[str, ...]]] = {}
    dropped: Dropped = Dropped()
    pod: dict[str, Any] = {}
    probes: dict[str, dict[str, int]] = {}
    resources: dict[str, Any] = {}
    config_maps: dict[str, dict[str, dict[str, str]]] = Field(default={}, alias="configMaps")


SETTINGS: Final = Settings.model_validate(yaml.safe_load(_SETTINGS.read_text()))


def image(package: str) -> str:
    """The image made of the program of a Go package; of a registry whose tags Knative does not resolve."""
    program = component(package)
    return f"dev.local/knative/{program.name}:{gobuild.version(program.module)}"


#: Every program that runs on the cluster, by its Go package, and the image it is looked for in.
IMAGES: Final[Mapping[str, str]] = {package: image(package) for package in SETTINGS.programs}


def manifests(go: str = "go", *, offline: bool = False) -> list[Object]:
    """All objects in an order to apply them in; raises KnativeError where a module is neither here nor to be had.

    Apply the CustomResourceDefinitions and wait for them before the others. ``offline`` only looks into this
    machine's module cache.
    """
    return adapt(
        document
        for pin, modules in SETTINGS.sources.items()
        for module, directory in _directories(go, GO_MODULES / pin, tuple(modules), offline).items()
        for folder in modules[module]
        for document in _read(directory / folder)
    )


def adapt(objects: Iterable[Object], settings: Settings = SETTINGS) -> list[Object]:
    """Knative's objects as the settings want them, in an order to apply them in; the given ones are not changed."""
    kept = (_adapted(obj, settings) for obj in objects if not _is_dropped(obj, settings.dropped))
    return sorted(kept, key=lambda obj: _RANKS.get(Kind.of(obj), 2))


def _is_dropped(obj: Object, dropped: Dropped) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return obj["kind"] in dropped.kinds or labels.get(_COMPONENT_LABEL) in dropped.components


def _adapted(obj: Object, settings: Settings) -> Object:
    adapted: Object = _with_images(obj)
    meta = adapted["metadata"]
    if Kind.of(adapted) == _DEPLOYMENT:
        _fit(adapted["spec"]["template"]["spec"], settings)
    if Kind.of(adapted) == CONFIG_MAP:
        wanted = settings.config_maps.get(meta["namespace"], {}).get(meta["name"], {})
        adapted["data"] = {**(adapted.get("data") or {}), **wanted}
    return adapted


def _with_images(value: Any) -> Any:
    """A deep copy in which every string that names a Go program names its image."""
    # Not only a container's image: they stand in environments and ConfigMaps too.
    if isinstance(value, dict):
        return {key: _with_images(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_images(item) for item in value]
    if isinstance(value, str) and value.startswith(_KO):
        return image(value.removeprefix(_KO))
    return value


def _fit(pod: Object, settings: Settings) -> None:
    pod.pop("affinity", None)
    pod.update(settings.pod)
    for container in pod["containers"]:
        container["resources"] = deepcopy(settings.resources)
        for probe, fields in settings.probes.items():
            if probe in container:
                container[probe].update(fields)


def _read(folder: Path) -> Iterator[Object]:
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise KnativeError(f"{folder} has no manifests; does knative.yaml name the folders of this Knative?")
    for file in files:
        yield from filter(None, yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader))


def _directories(go: str, pin: Path, modules: tuple[str, ...], offline: bool) -> dict[str, Path]:
    """Where the modules lie, at the versions that ``pin``/go.mod selects; downloads those that are not here."""
    # -mod=mod: no setting of this user's own decides. With modules named, go.mod and go.sum stay as they are.
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    if offline:
        environment["GOPROXY"] = "off"
    argv = [go, "mod", "download", "-json", *modules]
    try:
        answer = subprocess.run(argv, cwd=pin, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise KnativeError(f"{go} is not here; install Go, or give the path of one") from error
    if answer.returncode:
        raise KnativeError(
            f"`{' '.join(argv)}` in {pin}: {(answer.stderr or answer.stdout).strip()}\n"
            "It needs the Go module proxy (or the mirror that $GOPROXY names) once. Run it again where that answers."
        )
    return {found["Path"]: Path(found["Dir"]) for found in _concatenated(answer.stdout)}


def _concatenated(text: str) -> Iterator[dict[str, str]]:
    """The JSON documents in ``text``, which follow one another with nothing but blanks between them."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].lstrip()
