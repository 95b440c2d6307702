"""What the Dockerfile copies and its extra installs is all that the program imports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[4]
COPY = re.compile(r"^COPY (?!--from)(?P<sources>.+) /code(?P<target>/.+)$", re.MULTILINE)
#: The program where packages are not installed that it is told of; kubernetes is imported when a client is made.
RUN = """
import importlib.abc, runpy, sys
absent = frozenset(sys.argv[1:])
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import kubernetes.client, kubernetes.config
sys.argv = ["eventing.source", "--help"]
runpy.run_module("eventing.source", run_name="__main__")
"""


def copied(code: Path) -> Path:
    """The code as the image has it."""
    for match in COPY.finditer((ROOT / "eventing" / "source" / "Dockerfile").read_text()):
        target = code / match["target"].lstrip("/")
        for source in match["sources"].split():
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "embedded", "cli")  # as .dockerignore has it
                shutil.copytree(ROOT / source, target, ignore=ignored)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)
    return code


def needed(requirements: list[str], found: set[str]) -> set[str]:
    """The distributions that these name, and those that they need."""
    for text in requirements:
        requirement = Requirement(text)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and canonical(requirement.name) not in found:
            found.add(canonical(requirement.name))
            needed(metadata.requires(requirement.name) or [], found)
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_has_what_it_imports(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = needed([*project["dependencies"], *project["optional-dependencies"]["source"]], set())
    absent = [
        package
        for package, distributions in metadata.packages_distributions().items()
        if not installed & {canonical(name) for name in distributions} and package not in ("eventing", "kaito")
    ]
    assert "croniter" in absent
    run = [sys.executable, "-c", RUN, *absent]
    environment = {**os.environ, "PYTHONPATH": str(copied(tmp_path)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--spool" in done.stdout
