"""What the platform needs beside the command: models and controllers run in it, which the command does not bring."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from kaito.embedded.error import EmbeddedError
from kaito.embedded.manifests import CONFIG

#: By extra, a package that comes with it.
_PARTS: Final = {"provisioner": "msal", "serving": "openvino_genai", "training": "datasets"}


class NotInstalled(EmbeddedError):
    """Only the command is here."""


def check(command: str) -> None:
    """Raises NotInstalled where the command is all there is."""
    missing = [extra for extra, package in _PARTS.items() if find_spec(package) is None]
    if missing or not CONFIG.is_dir():
        what = f"the extras {', '.join(missing)}" if missing else "its manifests (config/)"
        raise NotInstalled(
            f"`kaito {command}` runs the whole platform here, and {what} are not installed: clone the project and run"
            " `make setup` there; all other commands work as they are, on any cluster"
        )
