from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster import dockerfiles

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what images are made of."""
    for name in ("pyproject.toml", "constraints.txt", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("console", "eventing", "functions", "kaito", "oci", "presets", "serving", "training"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "embedded", "cli"))
    monkeypatch.setattr(dockerfiles, "_ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "others"),
    [
        ("serving/engine.py", {"serving"}),
        ("oci/layers.py", {"serving", "training"}),
        ("training/train.py", {"training"}),
        ("functions/workspace/render.py", {"workspace", "provisioner", "tuning"}),
        ("eventing/recorder/store.py", {"recorder"}),
        ("eventing/recordings/lines.py", {"recorder", "console"}),
        ("eventing/source/spool.py", {"source", "console"}),
        ("console/static/page.js", {"console"}),
        ("eventing/broker.py", set()),
        ("kaito/api/meta.py", set(dockerfiles.NAMES)),
        ("constraints.txt", set(dockerfiles.NAMES)),
        ("serving/__pycache__/engine.pyc", set()),
    ],
)
def test_an_image_is_made_again_where_what_it_is_made_of_changed(tree: Path, changed: str, others: set[str]) -> None:
    before = {name: dockerfiles.key(name) for name in dockerfiles.NAMES}
    (tree / changed).parent.mkdir(exist_ok=True)
    with (tree / changed).open("a") as file:
        file.write("# changed\n")
    assert {name for name in dockerfiles.NAMES if dockerfiles.key(name) != before[name]} == others
