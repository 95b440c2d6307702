"""Where what was downloaded or built once is kept for this user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """``$KAITO_CACHE``, else ``$XDG_CACHE_HOME/kaito``, else ``~/.cache/kaito``; not made here."""
    if own := os.environ.get("KAITO_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "kaito"
    return Path.home() / ".cache" / "kaito"
