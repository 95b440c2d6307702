"""``python -m oci.pull`` against a real registry, with TLS and a user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci import RECORD
from tests.images import INDEX, Image, index, packed
from tests.registry import INSTALLED, Registry, running

POEMS = Image([packed({"bin/sh": b"no"}), packed({"data/adapter_config.json": b"{}"}), packed({"data/model": b"1"})])

pytestmark = pytest.mark.skipif(not INSTALLED, reason="no registry is installed: make test-packages")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def secret(registry: Registry, tmp_path: Path) -> Path:
    (tmp_path / ".dockerconfigjson").write_text(registry.secret)
    return tmp_path / ".dockerconfigjson"


def run(registry: Registry, image: str, target: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(registry.ca)}
    argv = [sys.executable, "-m", "oci.pull", f"{registry.host}/{image}", str(target), *flags]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_image_is_pulled_with_the_secrets_user(registry: Registry, tmp_path: Path, secret: Path) -> None:
    pushed = registry.push("team/poems", "1", POEMS)
    done = run(registry, "team/poems:1", tmp_path / "poems", f"--credentials={secret}")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["event"], said["digest"], said["files"]) == ("pull.done", pushed, 2)
    assert {path.name for path in (tmp_path / "poems").iterdir()} == {"adapter_config.json", "model", RECORD}
    again = run(registry, f"team/poems@{pushed}", tmp_path / "again", f"--credentials={secret}")
    assert again.returncode == 0, again.stderr


def test_an_index_leads_to_this_machines_image(registry: Registry, tmp_path: Path, secret: Path) -> None:
    registry.push("team/poems", "1", POEMS)
    registry.tag("team/poems", "all", index({"linux/amd64": POEMS.manifest, "linux/arm64": POEMS.manifest}), INDEX)
    done = run(registry, "team/poems:all", tmp_path / "poems", f"--credentials={secret}")
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_had_is_one_line(registry: Registry, tmp_path: Path, secret: Path) -> None:
    for flags, image, said in (
        ([], "team/poems:1", "no pull secret is for it"),
        ([f"--credentials={secret}"], "team/poems:9", "the registry has nothing by that name"),
    ):
        done = run(registry, image, tmp_path / "poems", *flags)
        assert done.returncode == 1
        assert done.stderr.startswith("oci.pull: ")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
