"""What an image of ours has: the code that its Dockerfile copies, and the packages of its extra."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

_ROOT: Final = Path(__file__).parents[1]
_OURS: Final = ("console", "eventing", "kaito")
_COPY: Final = re.compile(r"^COPY (?!--from)(?P<sources>.+) /code(?P<target>/.+)$", re.MULTILINE)
#: The program where packages are not installed that it is told of; kubernetes is imported when a client is made.
_RUN: Final = """
import importlib.abc, sys
program, *packages = sys.argv[1:]
absent = frozenset(packages)
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import kubernetes.client, kubernetes.config
exec(program)
"""


def run(dockerfile: str, extra: str, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """That Python, with nothing but what is in the image; croniter, which only the command needs, is not."""
    assert "croniter" in absent(extra)
    return run_at(_copied(dockerfile, folder), extra, program, folder)


def run_at(code: Path, extra: str, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """That Python in that folder, with this code, and with nothing but what is installed with that extra of it."""
    environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}
    argv = [sys.executable, "-c", _RUN, program, *absent(extra)]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def needed(extra: str) -> set[str]:
    """The distributions that are installed with that extra."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    return _needed([*project["dependencies"], *project["optional-dependencies"][extra]], set())


def absent(extra: str) -> list[str]:
    """The packages that are here, and not where only that extra is installed."""
    installed = needed(extra)
    return [
        package
        for package, distributions in metadata.packages_distributions().items()
        if not installed & {_canonical(name) for name in distributions} and package not in _OURS
    ]


def _copied(dockerfile: str, code: Path) -> Path:
    """The code as the image has it."""
    for match in _COPY.finditer((_ROOT / dockerfile).read_text()):
        target = code / match["target"].lstrip("/")
        for source in match["sources"].split():
            if (_ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "embedded", "cli")  # as .dockerignore has it
                shutil.copytree(_ROOT / source, target, ignore=ignored)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(_ROOT / source, target)
    return code


def _needed(requirements: list[str], found: set[str]) -> set[str]:
    """The distributions that these name, and those that they need."""
    for text in requirements:
        requirement = Requirement(text)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and _canonical(requirement.name) not in found:
            found.add(_canonical(requirement.name))
            _needed(metadata.requires(requirement.name) or [], found)
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
