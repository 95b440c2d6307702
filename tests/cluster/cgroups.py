"""The cgroups of the cluster's pods: one folder of ours in every hierarchy the machine has, made and removed here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = "cgroup.controllers"
_NEEDED: Final = ("cpu", "cpuset", "memory", "pids")


def make(name: str) -> None:
    """Kubelet makes no root of its own; in v1 a cpuset takes no process until it has CPUs and memory nodes."""
    if (_ROOT / _UNIFIED).exists():
        has = (_ROOT / _UNIFIED).read_text().split()
        wanted = " ".join(f"+{controller}" for controller in _NEEDED if controller in has)
        (_ROOT / "cgroup.subtree_control").write_text(wanted)
    for hierarchy in _hierarchies():
        directory = hierarchy / name
        directory.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / file).exists():
                (directory / file).write_text((hierarchy / file).read_text())


def remove(name: str) -> None:
    """Remove ours and all below; its processes have ended."""
    for hierarchy in _hierarchies():
        root = hierarchy / name
        below = sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True)
        for directory in (*below, root):
            with contextlib.suppress(FileNotFoundError):
                directory.rmdir()


def present(name: str) -> list[Path]:
    """What there is of ours."""
    return [hierarchy / name for hierarchy in _hierarchies() if (hierarchy / name).exists()]


def _hierarchies() -> Iterator[Path]:
    if (_ROOT / _UNIFIED).exists():
        yield _ROOT
        return
    # cpu and cpuacct may be one folder by two names.
    yield from {path.resolve() for path in _ROOT.iterdir() if path.is_dir()}
