"""Files that come as Python packages: programs and weights, installed by whatever installer this machine has."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import locked


class NotInstalled(EmbeddedError):
    """A package cannot be had here; the message says why and what to do."""


def install(requirement: str, target: Path) -> None:
    """Put the files of one package, and nothing that it depends on, into ``target``; raises NotInstalled."""
    with tempfile.TemporaryDirectory(prefix="kaito-install-") as scratch:
        command = [*install_command(Path(scratch)), "--quiet", "--no-deps", "--target", str(target), requirement]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotInstalled(
            f"{requirement} could not be fetched ({said[-1].strip() if said else command[0]}). "
            "It is a public Python package: check that this machine reaches a package index."
        )


def installed(package: str, version: str, report: Callable[[str], None]) -> Path:
    """The files of a release of a package, in this user's cache: installed the first time. Raises NotInstalled."""
    folder = cache_dir() / "programs" / f"{package}-{version}-{sys.platform}-{platform.machine()}"
    return made_once(folder, partial(install, f"{package}=={version}"), f"{package} {version}", report)


def made_once(folder: Path, make: Callable[[Path], None], what: str, report: Callable[[str], None]) -> Path:
    """``folder``, there whole or not at all: ``make`` fills a new one the first time."""
    with locked(folder.with_name(folder.name + ".lock"), lambda held: report(f"waiting: {held}")):
        if not folder.exists():
            report(f"installing {what}")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
                make(Path(scratch) / "target")
                (Path(scratch) / "target").rename(folder)
    return folder


def install_command(scratch: Path) -> list[str]:
    """The first part of ``INSTALL --target DIRECTORY PACKAGE``: uv, or pip of this Python, or one in ``scratch``.

    A venv that uv made has no pip, and another Python's pip would install for that Python. Raises NotInstalled.
    """
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    python = sys.executable
    if importlib.util.find_spec("pip") is None:
        try:
            venv.create(scratch / "installer", with_pip=True)
        except subprocess.CalledProcessError as error:  # a Python without ensurepip
            raise NotInstalled("there is neither uv nor pip on this machine: install uv and run this again") from error
        python = str(scratch / "installer" / "bin" / "python")
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]
