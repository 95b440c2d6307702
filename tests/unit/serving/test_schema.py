"""JSON schemas that an answer can be held to."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from serving.schema import DEPTH, MOST, SchemaError, grammatical


class Street(BaseModel):
    """Where."""

    name: str
    number: int | None = None


class Person(BaseModel):
    name: str
    tags: list[str] = []
    street: Street


def test_a_pydantic_models_schema_can_be_used() -> None:
    read = grammatical(Person.model_json_schema())
    assert read["required"] == ["name", "street"]
    assert read["$defs"]["Street"]["properties"]["number"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert "title" not in json.dumps(read)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"not": {}}, "#/not is not supported here"),
        ({"type": "text"}, "#/type is 'text'; it can be object, array, string"),
        (
            {"type": "string", "pattern": "a+"},
            "#/pattern is not supported here: what is, is type, minLength, maxLength",
        ),
        ({"type": "array", "items": [1]}, "#/items is no schema"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "#: minItems is more than maxItems"),
        ({"type": "string", "minLength": -1}, "#/minLength is -1, no whole number from 0"),
        ({"type": "integer", "minimum": True}, "#/minimum is True, no whole number"),
        ({"type": "object", "required": ["a"]}, "#/required names 'a', which properties has not"),
        ({"type": "object", "required": "a"}, "#/required is no list of names"),
        ({"type": "object", "properties": []}, "#/properties is no object"),
        ({"type": "object", "properties": {"a": 1}}, "#/properties/a is no schema"),
        ({"type": "object", "properties": {'"': {}}}, "#/properties has the name '\"', with a quote"),
        ({"enum": []}, "#/enum is no list of at least one"),
        ({"anyOf": [{}], "type": "object"}, "#/type is not supported here: what is, is anyOf"),
        ({"$ref": "#/$defs/a"}, "#/$ref is '#/$defs/a'; it can be #/$defs/NAME"),
        ({"$ref": "https://example.com"}, "#/$ref is 'https://example.com'"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            "#/$defs/a refers to itself, and to nothing else",
        ),
        ({"$defs": []}, "$defs is no object"),
        ({"type": ["string", "null"], "minimum": 1}, "#/minimum is not supported here"),
        ({"type": "string", "description": "x" * MOST}, f"it is longer than {MOST} characters"),
    ],
)
def test_what_cannot_be_used_is_refused_with_where_and_what_could(schema: Any, said: str) -> None:
    with pytest.raises(SchemaError) as refused:
        grammatical(schema)
    assert said in str(refused.value)


def test_a_schema_has_a_limited_depth() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(DEPTH + 1):
        schema = {"type": "array", "items": schema}
    with pytest.raises(SchemaError, match="is deeper than 24 levels"):
        grammatical(schema)


NAMES = st.sampled_from(["a", "b", "long name", "é", "$ref", "it's", "a/b"])
LEAVES = st.one_of(
    st.just({}),
    st.sampled_from(["boolean", "null", "number", "string", "integer"]).map(lambda kind: {"type": kind}),
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
        lambda it: {"type": "string", "minLength": min(it), "maxLength": max(it)}
    ),
    st.tuples(st.integers(-300, 300), st.integers(-300, 300)).map(
        lambda it: {"type": "integer", "minimum": min(it), "maximum": max(it)}
    ),
    st.lists(st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none()), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.sampled_from(["x", 1, None, True, 0.5, [1], {"k": "v"}]).map(lambda value: {"const": value}),
    st.just({"type": ["string", "null"]}),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=3))
    made: dict[str, Any] = {"type": "object", "properties": properties}
    if properties:
        made["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    return made | draw(
        st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": {"type": "null"}}])
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}),
        st.tuples(inner, st.integers(0, 3)).map(lambda it: {"type": "array", "items": it[0], "maxItems": it[1]}),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(SCHEMAS)
def test_what_can_be_used_is_a_grammar_of_the_engines(schema: dict[str, Any]) -> None:
    """By the library that both engines have it from."""
    xgrammar = import_module("xgrammar")
    xgrammar.Grammar.from_json_schema(json.dumps(grammatical(schema)))


def test_reading_twice_changes_nothing() -> None:
    once = grammatical(Person.model_json_schema())
    assert grammatical(once) == once
