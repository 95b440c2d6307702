"""Our folder in the hierarchies of both versions, as trees of plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import cgroups


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    return tmp_path


def test_version_1_has_ours_in_every_hierarchy(root: Path) -> None:
    for hierarchy in ("cpu,cpuacct", "cpuset", "memory"):
        (root / hierarchy).mkdir()
    for name in ("cpu", "cpuacct"):
        (root / name).symlink_to("cpu,cpuacct")
    (root / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (root / "cpuset" / "cpuset.mems").write_text("0\n")
    cgroups.make("ours")
    assert (root / "cpuset" / "ours" / "cpuset.cpus").read_text() == "0-1\n"
    assert (root / "cpuset" / "ours" / "cpuset.mems").read_text() == "0\n"
    assert {path.parent.name for path in cgroups.present("ours")} == {"cpu,cpuacct", "cpuset", "memory"}


def test_version_2_has_one_and_the_controllers_that_the_machine_gives(root: Path) -> None:
    (root / "cgroup.controllers").write_text("cpuset cpu io memory\n")
    cgroups.make("ours")
    assert (root / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory"
    assert cgroups.present("ours") == [root / "ours"]


def test_all_below_ours_goes_and_nothing_else(root: Path) -> None:
    for hierarchy in ("memory", "pids"):
        (root / hierarchy / "ours" / "kubepods" / "pod1").mkdir(parents=True)
        (root / hierarchy / "theirs").mkdir()
    cgroups.remove("ours")
    cgroups.remove("ours")
    assert cgroups.present("ours") == []
    assert {path.name for path in root.rglob("*")} == {"memory", "pids", "theirs"}
