"""What was recorded, as a person reads it: in YAML, with the objects in the place of their digests."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

import yaml

from kaito.api.generated import Plain
from kaito.api.resources import Object

#: What an object says of its bookkeeping, which nobody reads.
_BOOKKEEPING: Final = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


def plain(value: Any, objects: Mapping[str, Object]) -> Any:
    """Without bookkeeping, without what was not there, and without what it is called in a recording."""
    if isinstance(value, list):
        return [plain(item, objects) for item in value]
    if not isinstance(value, dict):
        return value
    if "$object" in value:
        obj = objects.get(value["$object"])
        if obj is None:
            return f"an object that the recording has lost ({value['$object']})"
        return {**obj, "metadata": {name: it for name, it in obj["metadata"].items() if name not in _BOOKKEEPING}}
    if "$class" not in value:
        return next(iter(value.values()), None)
    fields = {name: plain(it, objects) for name, it in value.items() if name != "$class"}
    return {name: it for name, it in fields.items() if it not in (None, [], "")}


def as_yaml(value: Any) -> list[str]:
    """In lines; none of nothing."""
    return [] if value in (None, {}, []) else yaml.dump(value, Dumper=Plain, width=120).splitlines()


def changes(before: list[str], after: list[str]) -> list[str]:
    """The lines that went and came, with three around them; none where there are none."""
    found = list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]
    return [line for line in found if not line.startswith("@@")]
