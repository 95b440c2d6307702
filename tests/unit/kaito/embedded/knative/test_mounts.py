from __future__ import annotations

from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.embedded.knative.mounts import rewrite
from kaito.embedded.knative.sandbox import expand

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


@pytest.mark.parametrize(
    ("said", "meant"),
    [("$(PORT)", "80"), ("a$(PORT)b", "a80b"), ("$(NO)", "$(NO)"), ("$$(PORT)", "$(PORT)"), ("$PORT", "$PORT")],
)
def test_expand(said: str, meant: str) -> None:
    assert expand(said, {"PORT": "80"}) == meant
