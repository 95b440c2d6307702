"""What a function decides from and what it decides, as JSON and back.

A value of a class is its name and what its constructor takes, which it has as attributes; a Kubernetes object is its
digest, under which it is kept once. Secrets stay behind (kaito.api.redaction).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any, Final

from kaito.api.redaction import redacted
from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Conflict, Gone, KubeError, Unavailable
from kaito.runtime.plan import Announce, Apply, Delete, Mark, Plan, Refused, Tell

_CLASS, _OBJECT, _JSON, _TIME, _SET, _NUMBER = "$class", "$object", "$json", "$time", "$set", "$number"
#: What all functions' decisions are made of.
COMMON: Final = (Announce, Apply, Conflict, Delete, Gone, Kind, KubeError, Mark, Plan, Refused, Tell, Unavailable)


class CodecError(ValueError):
    """What was recorded cannot be read by this release; the message says what of it."""


def is_object(value: Any) -> bool:
    """Is it a Kubernetes object?"""
    return isinstance(value, dict) and {"apiVersion", "kind", "metadata"} <= value.keys()


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(obj: Object) -> str:
    """The name that exactly this object is kept under."""
    return text_digest(canonical(obj))


def text_digest(text: str) -> str:
    """The same of the object's one text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def dump(value: Any, keep: Callable[[Object], str]) -> Any:
    """As JSON; ``keep`` takes each Kubernetes object, and says under which digest it keeps it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {_NUMBER: repr(value)}
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, dict):
        return {_OBJECT: keep(value)} if is_object(value) else {_JSON: redacted(value)}
    if isinstance(value, list | tuple):
        return [dump(item, keep) for item in value]
    if isinstance(value, frozenset | set):
        return {_SET: sorted(dump(item, keep) for item in value)}
    of: type = type(value)
    return {_CLASS: of.__name__, **{name: dump(getattr(value, name), keep) for name in _parameters(of)}}


def load(data: Any, find: Callable[[str], Object], types: Iterable[type]) -> Any:
    """What was dumped; ``types`` are its classes besides ``COMMON``, and lists are tuples. Raises CodecError; what
    ``find`` raises where it has no object of a digest, is passed on."""
    return _load(data, find, {it.__name__: it for it in (*COMMON, *types)})


def _load(data: Any, find: Callable[[str], Object], classes: dict[str, type]) -> Any:
    if isinstance(data, list):
        return tuple(_load(item, find, classes) for item in data)
    if not isinstance(data, dict):
        return data
    if _CLASS in data:
        return _made(data, find, classes)
    match [*data.items()]:
        case [(name, value)] if name == _OBJECT:
            return find(value)
        case [(name, value)] if name == _JSON:
            return value
        case [(name, value)] if name == _TIME:
            return datetime.fromisoformat(value)
        case [(name, value)] if name == _SET:
            return frozenset(_load(item, find, classes) for item in value)
        case [(name, value)] if name == _NUMBER:
            return float(value)
    raise CodecError(f"{canonical(data)[:80]} is nothing that this release knows")


def _made(data: Object, find: Callable[[str], Object], classes: dict[str, type]) -> Any:
    name = data[_CLASS]
    if name not in classes:
        raise CodecError(f"this release has no {name}")
    fields = {key: _load(value, find, classes) for key, value in data.items() if key != _CLASS}
    try:
        return classes[name](**fields)
    except TypeError as error:
        raise CodecError(f"{name} is another one in this release: {error}") from error


@cache
def _parameters(of: type) -> tuple[str, ...]:
    return tuple(inspect.signature(of).parameters)
