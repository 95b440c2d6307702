"""Volume images from a real registry, with TLS and a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaito.api.resources import SECRET
from kaito.embedded.images import ImageStore
from kaito.embedded.knative.host import ImageError
from kaito.embedded.models import ModelStore
from tests.images import Image, packed
from tests.integration.kaito.embedded.conftest import Platform
from tests.integration.kaito.embedded.jobs import Jobs, until
from tests.registry import INSTALLED, Registry, running

FIRST = Image([packed({"weights/model": b"1"}), packed({"etc/os-release": b"none"})])
SECOND = Image([packed({"weights/model": b"2"})])

pytestmark = pytest.mark.skipif(not INSTALLED, reason="no registry is installed: make test-packages")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def store(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.ca))
    return ImageStore(ModelStore(tmp_path), tmp_path / "images")


def test_an_image_is_pulled_once_and_kept_by_its_digest(registry: Registry, store: ImageStore) -> None:
    digest = registry.push("team/model", "1", FIRST)
    image, credentials = f"{registry.host}/team/model:1", [registry.secret.encode()]
    content = store.content(image, credentials)
    assert content.name == digest.replace(":", "-")
    assert (content / "weights" / "model").read_bytes() == b"1"
    assert (content / "etc" / "os-release").read_bytes() == b"none"
    (content / "mark").touch()
    assert store.content(image, credentials) == content
    assert store.content(f"{registry.host}/team/model@{digest}", credentials) == content
    assert (content / "mark").exists()
    assert [path.name for path in content.parent.iterdir()] == [content.name]


def test_a_tag_that_is_pushed_again_is_noticed(registry: Registry, store: ImageStore) -> None:
    image, credentials = f"{registry.host}/team/moving:1", [registry.secret.encode()]
    registry.push("team/moving", "1", FIRST)
    first = store.content(image, credentials)
    registry.push("team/moving", "1", SECOND)
    second = store.content(image, credentials)
    assert [(path / "weights" / "model").read_bytes() for path in (first, second)] == [b"1", b"2"]


def test_who_may_not_have_it_is_told_so(registry: Registry, store: ImageStore) -> None:
    registry.push("team/model", "1", FIRST)
    image = f"{registry.host}/team/model:1"
    with pytest.raises(ImageError, match="no pull secret is for it: name one that is"):
        store.content(image, [])
    wrong = registry.secret.replace(registry.secret.split('"')[-2], "a2FpdG86d3Jvbmc=")
    with pytest.raises(ImageError, match=r"refuses .*team/model:1 to the user of its pull secret"):
        store.content(image, [wrong.encode()])


def test_a_pod_pulls_with_the_secrets_it_names(
    registry: Registry, store: ImageStore, jobs: Jobs, platform: Platform
) -> None:
    registry.push("team/model", "1", FIRST)
    platform.images.store = store
    jobs.make(
        "uses",
        jobs.program(
            "main",
            "say(pathlib.Path('/mnt/model/weights/model').read_text())",
            volumeMounts=[{"name": "model", "mountPath": "/mnt/model"}],
        ),
        volumes=[{"name": "model", "image": {"reference": f"{registry.host}/team/model:1"}}],
        imagePullSecrets=[{"name": "pull"}],
    )
    assert "no pull secret is for it" in jobs.waiting("uses", "ImagePullBackOff")
    platform.add(
        SECRET, "pull", type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": registry.secret}
    )
    jobs.finished("uses")
    assert jobs.said() == ["1"]


def test_a_name_without_a_registry_says_what_to_do(store: ImageStore, jobs: Jobs, platform: Platform) -> None:
    platform.images.store = store
    volume = {"name": "model", "image": {"reference": "kaito/phi-4:0.1.0"}}
    jobs.make("uses", jobs.program("main", ""), volumes=[volume])
    said = until(lambda: jobs.waiting("uses", "ImagePullBackOff"))
    assert "the weights image kaito/phi-4:0.1.0 is not here" in said
    assert "an image by its whole name (HOST/NAME:TAG)" in said
