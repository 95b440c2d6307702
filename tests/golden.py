"""Golden files: manifests as a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from kaito.api.resources import Object


class _Plain(yaml.SafeDumper):
    """Nothing by reference: what is the same twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def shown(objects: Iterable[Object]) -> str:
    return yaml.dump_all(objects, sort_keys=False, Dumper=_Plain)


def write(folder: Path, scenes: Iterable[str], text: Callable[[str], str]) -> None:
    """One file a scene."""
    folder.mkdir(exist_ok=True)
    for name in scenes:
        (folder / f"{name}.yaml").write_text(text(name))
