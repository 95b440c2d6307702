"""Where the embedded platform's functions write down what they do, and its model servers their spans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kaito.api import tracing
from kaito.api.resources import Object
from kaito.embedded.manifests import with_environment
from kaito.runtime.recording.sinks import ENDING, VARIABLE

#: In the platform's directory.
FOLDER: Final = "recording"
TRACES: Final = "traces"
#: What files of earlier runs may take together; the oldest go first.
_MOST_BYTES: Final = 256 << 20


def recorded(objects: Iterable[Object], directory: Path) -> list[Object]:
    """The manifests, with all functions recorded to a folder of that ``directory``, and what serves models to another
    one."""
    _prune(directory / FOLDER, ENDING)
    _prune(directory / TRACES, tracing.ENDING)
    here = directory.resolve()
    variables = {VARIABLE: (here / FOLDER).as_uri(), tracing.VARIABLE: (here / TRACES).as_uri()}
    return with_environment(objects, variables)


def _prune(folder: Path, ending: str) -> None:
    files = sorted(folder.glob(f"*{ending}"), key=lambda it: it.stat().st_mtime, reverse=True)
    size = 0
    for file in files:
        size += file.stat().st_size
        if size > _MOST_BYTES:
            file.unlink()
