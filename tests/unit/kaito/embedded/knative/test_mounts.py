from __future__ import annotations

from pathlib import Path
from string import ascii_letters
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.api.resources import Kind, Object
from kaito.embedded.knative import mounts
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.mounts import rewrite
from kaito.embedded.knative.revision import PodFailure

MOUNTS = {"/data": Path("/here/data"), "/data/deep": Path("/here/deep"), "/dev/shm": Path("/here/shm")}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("/data", "/here/data"),
        ("/data/", "/here/data/"),
        ("/data/a.txt", "/here/data/a.txt"),
        ("--model=/data/a --cache=/dev/shm", "--model=/here/data/a --cache=/here/shm"),
        ("/data:/dev/shm", "/here/data:/here/shm"),
        ("/data.", "/here/data."),
        ("/data/deep/a", "/here/deep/a"),
        ("/data/deeper", "/here/data/deeper"),
        ('{"path": "/data"}', '{"path": "/here/data"}'),
        ("/database", "/database"),
        ("/data-2", "/data-2"),
        ("/data.json", "/data.json"),
        ("/srv/data", "/srv/data"),
        ("http://host/data", "http://host/data"),
        ("http://host:80/data", "http://host:80/data"),
        ("", ""),
    ],
)
def test_rewrite(said: str, meant: str) -> None:
    assert rewrite(said, MOUNTS) == meant


@given(st.text())
def test_nothing_mounted_changes_nothing(text: str) -> None:
    assert rewrite(text, {}) == text


@given(st.text(alphabet=ascii_letters, min_size=1), st.text(alphabet=ascii_letters + "/."))
def test_a_path_below_a_mount_keeps_its_tail(name: str, tail: str) -> None:
    assert rewrite(f"/{name}/x{tail}", {f"/{name}": Path("/here")}) == f"/here/x{tail}"


class Api:
    """One ConfigMap and one PersistentVolumeClaim."""

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        found: dict[tuple[str, str], Object] = {
            ("ConfigMap", "settings"): {"data": {"a": "1"}},
            ("PersistentVolumeClaim", "results"): {},
        }
        return found.get((kind.kind, name))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    none = cast("Any", None)
    return Host(cast("Any", Api()), tmp_path, none, tmp_path / "pods", tmp_path / "claims", none, tmp_path)


def make(host: Host, **volume: Any) -> Path:
    spec = {"volumes": [{"name": "volume", **volume}]}
    return mounts.make(spec, "ns", host, host.directory / "volumes")["volume"]


def test_a_pods_own_volumes_are_in_its_directory(host: Host) -> None:
    made = make(host, configMap={"name": "settings"})
    assert made == host.directory / "volumes" / "volume"
    assert (made / "a").read_text() == "1"


def test_a_claims_directory_is_not_its_pods(host: Host) -> None:
    made = make(host, persistentVolumeClaim={"claimName": "results"})
    assert made == host.volumes / "ns" / "results"
    assert made.is_dir()


def test_a_claim_has_to_be_there(host: Host) -> None:
    with pytest.raises(PodFailure, match='persistentvolumeclaim "other" not found: create it'):
        make(host, persistentVolumeClaim={"claimName": "other"})


@pytest.mark.parametrize("kind", ["hostPath", "nfs", "csi", "projected", "downwardAPI", "ephemeral"])
def test_no_other_kind_of_volume_is_made(host: Host, kind: str) -> None:
    with pytest.raises(PodFailure, match=f"a volume of kind {kind} cannot be had here: use a cluster"):
        make(host, **{kind: {}})


def test_the_volume_that_the_api_server_adds_is_empty(host: Host) -> None:
    spec = {"volumes": [{"name": "kube-api-access-x7k2p", "projected": {}}]}
    (made,) = mounts.make(spec, "ns", host, host.directory / "volumes").values()
    assert list(made.iterdir()) == []


def test_only_image_volumes_are_images() -> None:
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "image": {"reference": "ghcr.io/b:1"}}]
    assert mounts.images({"volumes": volumes}) == ["ghcr.io/b:1"]
