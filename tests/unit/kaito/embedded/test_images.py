from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from kaito.embedded.images import ImageStore
from kaito.embedded.knative.host import ImageError
from kaito.embedded.models import SMOLLM2, ModelStore
from oci.access import RegistryError
from oci.pull import PullError

IMAGE = "ghcr.io/team/model:1"


@dataclass
class Scripted:
    """A registry whose tags mean ``digest``; ``during`` is called while an image is pulled."""

    digest: str = "sha256:1"
    during: Callable[[], None] = lambda: None
    pulled: list[str] = field(default_factory=list)
    files: list[tuple[str, str, int]] = field(default_factory=list)

    def repository(self, reference: str, credentials: Sequence[Path]) -> SimpleNamespace:
        if "absent" in reference:
            raise RegistryError(f"There is no {reference}.")
        self.files += [(str(it), it.read_text(), it.stat().st_mode & 0o777) for it in credentials]
        return SimpleNamespace(manifest=lambda: SimpleNamespace(digest=self.digest))

    def pull(self, reference: str, folder: str, target: Path, credentials: Sequence[Path]) -> str:
        target.mkdir()
        (target / "model").write_text(folder)
        self.during()
        self.pulled.append(reference)
        return self.digest


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    scripted = Scripted()
    monkeypatch.setattr("oci.registry.Repository", scripted.repository)
    monkeypatch.setattr("oci.pull.pull", scripted.pull)
    return scripted


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(ModelStore(tmp_path), tmp_path / "images")


@pytest.mark.parametrize("image", [IMAGE, "localhost/model", "registry:5000/model", "127.0.0.1:5000/a/b@sha256:1"])
def test_what_names_a_registry_may_be_had(store: ImageStore, image: str) -> None:
    assert store.missing(image) is None


@pytest.mark.parametrize("image", ["model", "model:1", "kaito/phi-4:0.1.0", "team/model.v2:1", "model@sha256:1"])
def test_what_names_none_may_not(store: ImageStore, image: str) -> None:
    said = store.missing(image) or ""
    assert f"{image} is not here, and its name has no registry to pull it from" in said
    assert "(HOST/NAME:TAG)" in said


def test_a_model_of_the_store_is_not_pulled(tmp_path: Path, store: ImageStore, registry: Scripted) -> None:
    assert "run python -m kaito.embedded.models" in (store.missing(SMOLLM2.image) or "")
    (tmp_path / "models" / SMOLLM2.key).mkdir(parents=True)
    assert store.missing(SMOLLM2.image) is None
    assert store.content(SMOLLM2.image, []) == tmp_path / "models" / SMOLLM2.key
    assert registry.pulled == []


def test_it_is_pulled_once_for_each_digest(tmp_path: Path, store: ImageStore, registry: Scripted) -> None:
    first = store.content(IMAGE, [])
    assert store.content(IMAGE, []) == first == tmp_path / "images" / "sha256-1"
    registry.digest = "sha256:2"
    assert store.content(f"{IMAGE}@sha256:2", []) == tmp_path / "images" / "sha256-2"
    assert registry.pulled == [f"{IMAGE}@sha256:1", f"{IMAGE}@sha256:2"]
    assert (first / "model").read_text() == "/"


def test_credentials_are_nobody_elses_and_gone_afterwards(store: ImageStore, registry: Scripted) -> None:
    store.content(IMAGE, [b"one", b"two"])
    assert [(text, mode) for _, text, mode in registry.files] == [("one", 0o600), ("two", 0o600)]
    assert not any(Path(file).exists() for file, _, _ in registry.files)


def test_two_at_once_keep_one(tmp_path: Path, store: ImageStore, registry: Scripted) -> None:
    registry.during = threading.Barrier(2, timeout=10).wait  # type: ignore[assignment]
    found: list[Path] = []
    both = [threading.Thread(target=lambda: found.append(store.content(IMAGE, []))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert found == [tmp_path / "images" / "sha256-1"] * 2
    assert list((tmp_path / "images").iterdir()) == [tmp_path / "images" / "sha256-1"]


@pytest.mark.parametrize("error", [PullError("it broke off"), OSError("no space left")])
def test_half_an_image_is_none(tmp_path: Path, store: ImageStore, registry: Scripted, error: Exception) -> None:
    def fail() -> None:
        raise error

    registry.during = fail
    with pytest.raises(ImageError, match=str(error)):
        store.content(IMAGE, [])
    assert list((tmp_path / "images").iterdir()) == []


def test_what_the_registry_has_not_is_its_sentence(store: ImageStore, registry: Scripted) -> None:
    with pytest.raises(ImageError, match=r"^There is no ghcr.io/absent:1\.$"):
        store.content("ghcr.io/absent:1", [])
    assert registry.pulled == []
