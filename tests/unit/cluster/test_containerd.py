"""Which images containerd is given, by a ``ctr`` that writes down what it gets."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import IO

import pytest

from tests.cluster import containerd
from tests.cluster.containerd import Containerd, NotLoaded
from tests.cluster.images import Image

FAKE = """#!/bin/sh
shift 4
case "$*" in
  "images ls -q") cat {here}/images ;;
  "content ls -q") echo sha256:there ;;
  "images import -") [ -e {here}/refuse ] && echo "no space" >&2 && exit 1; cat >> {here}/loaded ;;
esac
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "ctr"
    program.write_text(FAKE.format(here=tmp_path))
    program.chmod(0o755)
    (tmp_path / "images").write_text("a:1\n")
    monkeypatch.setattr(containerd, "fetch", lambda programs: dict.fromkeys(programs, program))
    return tmp_path


def image(reference: str, key: str) -> Image:
    def send(out: IO[bytes], present: Container[str]) -> None:
        out.write(f"{reference} {key} {'sha256:there' in present}\n".encode())

    return Image(reference, key, send)


def load(here: Path, *images: Image) -> str:
    """What containerd got."""
    Containerd(here / "socket").load(images, here / "loaded.json", lambda _: None)
    loaded = here / "loaded"
    text = loaded.read_text() if loaded.exists() else ""
    loaded.unlink(missing_ok=True)
    return text


def test_only_what_is_new_or_has_changed_is_loaded(here: Path) -> None:
    assert load(here, image("a:1", "x")) == "a:1 x True\n", "there, but of an unknown making"
    assert load(here, image("a:1", "x"), image("b:1", "x")) == "b:1 x True\n"
    (here / "images").write_text("a:1\nb:1\n")
    assert load(here, image("a:1", "y"), image("b:1", "x")) == "a:1 y True\n"
    assert load(here, image("a:1", "y"), image("b:1", "x")) == ""
    (here / "images").write_text("b:1\n")
    assert load(here, image("a:1", "y")) == "a:1 y True\n", "somebody has removed it"


def test_what_is_refused_is_not_taken_for_loaded(here: Path) -> None:
    (here / "refuse").touch()
    with pytest.raises(NotLoaded, match="does not take a:1: no space"):
        load(here, image("a:1", "x"))
    (here / "refuse").unlink()
    assert load(here, image("a:1", "x")) == "a:1 x True\n"
    assert json.loads((here / "loaded.json").read_text()) == {"a:1": "x"}
