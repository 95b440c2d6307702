"""Where the embedded platform's functions write down what they do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kaito.api.resources import Object
from kaito.embedded.manifests import with_environment
from kaito.runtime.recording.sinks import ENDING, VARIABLE

#: In the platform's directory.
FOLDER: Final = "recording"
#: What files of earlier runs may take together; the oldest go first.
_MOST_BYTES: Final = 256 << 20


def recorded(objects: Iterable[Object], directory: Path) -> list[Object]:
    """The manifests, with all functions recorded to a folder of that ``directory``."""
    _prune(directory / FOLDER)
    return with_environment(objects, {VARIABLE: (directory.resolve() / FOLDER).as_uri()})


def _prune(folder: Path) -> None:
    files = sorted(folder.glob(f"*{ENDING}"), key=lambda it: it.stat().st_mtime, reverse=True)
    size = 0
    for file in files:
        size += file.stat().st_size
        if size > _MOST_BYTES:
            file.unlink()
