"""The JSON schemas that an answer can be held to: a part of JSON Schema that every engine's grammar has. Pure.

What is not in it is refused by name: a keyword that is silently ignored is a promise that is not kept. And a grammar
that an engine finds to be impossible only while it computes would take others' answers down with it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

Schema = dict[str, Any]

#: Characters of a schema as JSON, and how deep it may be.
MOST: Final = 16_384
DEPTH: Final = 24
#: Say something to people, and nothing to a grammar.
_NOTES: Final = frozenset(("title", "description", "default", "examples", "$schema", "$comment", "deprecated"))
_BOUNDS: Final = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
}
_KEYWORDS: Final = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", *_BOUNDS["array"]),
    "string": _BOUNDS["string"],
    "integer": _BOUNDS["integer"],
    "number": (),
    "boolean": (),
    "null": (),
}
#: A schema is one of these and nothing else, or has a type.
_ALONE: Final = ("anyOf", "$ref", "const", "enum")
#: Names of properties: one engine's grammar ends at others.
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f\x7f]+')
_REFERENCE: Final = "#/$defs/"


class SchemaError(ValueError):
    """It cannot be used; the message says where and what could be there."""


def grammatical(schema: Schema) -> Schema:
    """The schema without what says nothing to a grammar. Raises SchemaError."""
    if len(json.dumps(schema)) > MOST:
        raise SchemaError(f"it is longer than {MOST} characters")
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        raise SchemaError("$defs is no object")
    reader = _Reader(frozenset(definitions))
    defined = {name: reader.read(it, f"{_REFERENCE}{name}", 1) for name, it in definitions.items()}
    for name in defined:
        _ends(name, defined)
    read = reader.read({key: value for key, value in schema.items() if key != "$defs"}, "#", 0)
    return {**read, **({"$defs": defined} if defined else {})}


class _Reader:
    """``names``: what can be referred to."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def read(self, schema: Any, at: str, depth: int) -> Schema:
        if not isinstance(schema, dict):
            raise SchemaError(f'{at} is no schema: an object such as {{}} or {{"type": "string"}}')
        if depth > DEPTH:
            raise SchemaError(f"{at} is deeper than {DEPTH} levels")
        said = {key: value for key, value in schema.items() if key not in _NOTES}
        alone = [key for key in _ALONE if key in said]
        if alone:
            return self._alone(said, alone[0], at, depth)
        kind = said.get("type")
        if isinstance(kind, list):
            rest = {key: value for key, value in said.items() if key != "type"}
            each = [{"type": it, **{k: v for k, v in rest.items() if k in _KEYWORDS.get(it, ())}} for it in kind]
            lost = [key for key in rest if not any(key in it for it in each)]
            _known(lost, (), at)
            return self.read({"anyOf": each}, at, depth)
        if kind is None:
            _known(said, (), at, hint='; say its "type"')
            return {}
        if kind not in _KEYWORDS:
            raise SchemaError(f"{at}/type is {kind!r}; it can be {', '.join(_KEYWORDS)}")
        _known(said, ("type", *_KEYWORDS[kind]), at)
        self._bounds(said, kind, at)
        if kind == "array" and "items" in said:
            said = {**said, "items": self.read(said["items"], f"{at}/items", depth + 1)}
        return self._object(said, at, depth) if kind == "object" else said

    def _alone(self, said: Schema, key: str, at: str, depth: int) -> Schema:
        """What is said by one keyword; a type may stand beside values, which have theirs."""
        value = said[key]
        _known(said, (key, "type") if key in ("const", "enum") else (key,), at)
        if key == "$ref":
            if not isinstance(value, str) or value.removeprefix(_REFERENCE) not in self._names:
                raise SchemaError(f"{at}/$ref is {value!r}; it can be {_REFERENCE}NAME of a NAME that is there")
        elif key != "const" and (not isinstance(value, list) or not value):
            raise SchemaError(f"{at}/{key} is no list of at least one")
        if key == "anyOf":
            return {key: [self.read(it, f"{at}/anyOf/{n}", depth + 1) for n, it in enumerate(value)]}
        return {key: value}

    def _object(self, said: Schema, at: str, depth: int) -> Schema:
        found, needed, others = said.get("properties", {}), said.get("required", []), said.get("additionalProperties")
        if not isinstance(found, dict):
            raise SchemaError(f"{at}/properties is no object")
        if odd := [name for name in found if not _PLAIN.fullmatch(name)]:
            raise SchemaError(
                f"{at}/properties has the name {odd[0]!r}, with a quote, a backslash or what is no letter"
            )
        properties = {name: self.read(it, f"{at}/properties/{name}", depth + 1) for name, it in found.items()}
        if not isinstance(needed, list) or not all(isinstance(name, str) for name in needed):
            raise SchemaError(f"{at}/required is no list of names")
        if lacking := [name for name in needed if name not in properties]:
            raise SchemaError(f"{at}/required names {lacking[0]!r}, which properties has not")
        read: Schema = {"type": "object"}
        if properties:
            read["properties"] = properties
        if needed:
            read["required"] = list(dict.fromkeys(needed))
        if others is not None:
            free = isinstance(others, bool)
            read["additionalProperties"] = (
                others if free else self.read(others, f"{at}/additionalProperties", depth + 1)
            )
        return read

    def _bounds(self, said: Schema, kind: str, at: str) -> None:
        names = _BOUNDS.get(kind, ())
        for name in names:
            value = said.get(name, 0)
            if not isinstance(value, int) or isinstance(value, bool) or (kind != "integer" and value < 0):
                raise SchemaError(f"{at}/{name} is {value!r}, no whole number{'' if kind == 'integer' else ' from 0'}")
        if all(name in said for name in names) and names and said[names[0]] > said[names[1]]:
            raise SchemaError(f"{at}: {names[0]} is more than {names[1]}")


def _known(said: Any, known: tuple[str, ...], at: str, hint: str = "") -> None:
    if strange := [key for key in said if key not in known]:
        here = f": what is, is {', '.join(known)}" if known else ""
        raise SchemaError(f"{at}/{strange[0]} is not supported here{here}{hint}")


def _ends(name: str, defined: dict[str, Schema]) -> None:
    """Raises SchemaError where references lead in a circle, with nothing between them."""
    seen, following = set[str](), [name]
    while following:
        current = following.pop()
        if current in seen:
            raise SchemaError(f"{_REFERENCE}{name} refers to itself, and to nothing else")
        seen.add(current)
        schema = defined[current]
        if len(schema.get("anyOf", ())) == 1:
            (schema,) = schema["anyOf"]
        if "$ref" in schema:
            following.append(schema["$ref"].removeprefix(_REFERENCE))
