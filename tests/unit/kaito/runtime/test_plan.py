"""Comparing what is wanted with what is there, and finalizers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.runtime.plan import finalizer, holds, quantity

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "default": 3}]}}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": {}}, {"a": None}, False),
        ({"a": {}, "b": "", "c": None, "d": False}, {}, True),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}, True),
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "501m"}}, False),
        ({"limits": {"cpu": 1}}, {"limits": {}}, False),
        ({"value": "0.5"}, {"value": "500m"}, False),
    ],
)
def test_holds(wanted: object, found: object, *, expected: bool) -> None:
    assert holds(wanted, found) is expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", 1), ("0.5", "500m"), ("1Ki", "1024"), ("2Gi", "2048Mi"), ("1k", "1e3"), ("1500n", "1.5u"), ("3E", "3e18")],
)
def test_quantities_have_more_than_one_form(one: str | int, other: str | int) -> None:
    assert quantity(one) == quantity(other)


@pytest.mark.parametrize("text", ["", "much", "1.2.3", "1Kib", "Ki"])
def test_what_is_no_quantity_equals_only_itself(text: str) -> None:
    assert quantity(text) == text


@given(JSON)
def test_everything_holds_itself(value: object) -> None:
    assert holds(value, value)


@given(st.dictionaries(st.text(max_size=2), JSON, max_size=4), st.text(min_size=3), JSON)
def test_more_fields_do_not_matter(value: dict[str, object], key: str, extra: object) -> None:
    assert holds(value, {**value, key: extra})


@pytest.mark.parametrize(
    ("before", "present", "after"),
    [
        ([], True, ("x",)),
        (["other"], True, ("other", "x")),
        (["other", "x"], False, ("other",)),
        (["x"], True, None),
        (None, False, None),
    ],
)
def test_finalizer(before: list[str] | None, after: tuple[str, ...] | None, *, present: bool) -> None:
    obj = {"kind": "Workspace", "metadata": {"name": "phi", "finalizers": before}}
    effects = finalizer(obj, "x", present=present, why="test")
    assert [effect.finalizers for effect in effects] == ([] if after is None else [after])
