"""The border where Knative manifests come in: what cannot be honoured is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

S = TypeVar("S", bound="Spec")
T = TypeVar("T")
#: What is not run, by ``label``, and why.
Refused = dict[str, "ManifestError"]


class ManifestError(Exception):
    """A manifest that cannot be honoured; ``field`` is the path to what has to change."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


class Spec(BaseModel):
    """A part of a manifest: exactly the fields that are honoured here."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


def read(model: type[S], part: Mapping[str, Any], field: str) -> S:
    """``part`` as a ``model``; raises ManifestError naming the first bad field below ``field``."""
    try:
        return model.model_validate(part)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join([field, *(str(step) for step in first["loc"])])
        if first["type"] == "extra_forbidden":
            raise ManifestError(path, "not supported here: remove it") from error
        raise ManifestError(path, first["msg"]) from error


def label(manifest: Mapping[str, Any]) -> str:
    """How messages call an object: ``Trigger namespace/name``."""
    metadata = manifest["metadata"]
    return f"{manifest['kind']} {metadata.get('namespace', 'default')}/{metadata['name']}"


def sift(manifests: Iterable[Mapping[str, Any]], take: Callable[[Mapping[str, Any]], T]) -> tuple[list[T], Refused]:
    """What ``take`` makes of the good ones, and what it said of the bad: no manifest stands in another's way."""
    taken: list[T] = []
    refused: Refused = {}
    for manifest in manifests:
        try:
            taken.append(take(manifest))
        except ManifestError as error:
            refused[label(manifest)] = error
    return taken, refused
