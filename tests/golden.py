"""Golden files: manifests as a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from kaito.api.generated import Plain
from kaito.api.resources import Object


def shown(objects: Iterable[Object]) -> str:
    return yaml.dump_all(objects, sort_keys=False, Dumper=Plain)


def write(folder: Path, scenes: Iterable[str], text: Callable[[str], str]) -> None:
    """One file a scene."""
    folder.mkdir(exist_ok=True)
    for name in scenes:
        (folder / f"{name}.yaml").write_text(text(name))
