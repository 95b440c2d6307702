"""The version is said in two places, which agree."""

from __future__ import annotations

import tomllib
from pathlib import Path

from kaito import __version__


def test_the_code_is_of_the_packages_version() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
