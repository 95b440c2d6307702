"""Who installs Python packages on this machine."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from kaito.embedded.error import EmbeddedError


class NoInstaller(EmbeddedError):
    """There is neither uv nor pip, nor can a venv with pip be made."""


def install_command(scratch: Path) -> list[str]:
    """The first part of ``INSTALL --target DIRECTORY PACKAGE``: uv, or pip of this Python, or one in ``scratch``.

    A venv that uv made has no pip, and another Python's pip would install for that Python. Raises NoInstaller.
    """
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    python = sys.executable
    if importlib.util.find_spec("pip") is None:
        try:
            venv.create(scratch / "installer", with_pip=True)
        except subprocess.CalledProcessError as error:  # a Python without ensurepip
            raise NoInstaller("there is neither uv nor pip on this machine: install uv and run this again") from error
        python = str(scratch / "installer" / "bin" / "python")
    return [python, "-m", "pip", "install", "--disable-pip-version-check"]
