from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kaito.api.resources import CRD
from kaito.embedded import programs
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.kube import Kube

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for all tests of this worker, with our CRDs: keep to a namespace of your own."""
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), programs.prepare())
    plane.start(before_controllers=install_crds)
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def kube(control_plane: ControlPlane) -> Kube:
    """The administrator's connection to it."""
    return control_plane.kube()


def install_crds(kube: Kube) -> None:
    manifests = [
        manifest
        for folder in ("crd", "embedded/crd")
        for file in sorted((CONFIG / folder).glob("*.yaml"))
        for manifest in yaml.safe_load_all(file.read_text())
        if manifest["kind"] == CRD.kind
    ]
    for manifest in manifests:
        kube.apply(manifest, manager="tests")
    never, deadline = threading.Event(), time.monotonic() + 20
    for manifest in manifests:
        while not established(kube, manifest["metadata"]["name"]):
            assert time.monotonic() < deadline, f"{manifest['metadata']['name']} is never served"
            never.wait(0.02)


def established(kube: Kube, name: str) -> bool:
    conditions = ((kube.get(CRD, name) or {}).get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
