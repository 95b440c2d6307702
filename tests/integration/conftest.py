"""One real control plane for all integration tests of a worker, with everything of ours that needs no process; and the
real model, small enough for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kaito.api.crd import rendered
from kaito.embedded import manifests, programs
from kaito.embedded.cache import cache_dir
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.models import SMOLLM2, ModelStore
from kaito.runtime.kube import Kube


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """With our CRDs and admission policies: keep to a namespace of your own."""
    found = programs.prepare()
    crds = [yaml.safe_load(text) for text in rendered().values()]
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), found)
    plane.start(before_controllers=lambda kube: manifests.install_crds(kube, crds))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kaito-system"}}
    manifests.install(plane.kube(), [namespace, *manifests.build(found.kubectl, manifests.CONFIG / "admission")])
    yield plane
    plane.stop()


@pytest.fixture(scope="session")
def kube(control_plane: ControlPlane) -> Kube:
    """The administrator's connection to it."""
    return control_plane.kube()


@pytest.fixture(scope="session")
def weights() -> Path:
    store = ModelStore(cache_dir())
    store.prepare(lambda stage, done, total: None)
    content = store.resolve(SMOLLM2.image)
    assert content is not None
    return content / "weights"
