from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from eventing.cesql import EvaluationError, ParseError, parse

INTEGERS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text("ab%_\\", max_size=6)


def matches(text: str, pattern: str) -> bool:
    """LIKE as one would define it."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches(text[skipped:], pattern[1:]) for skipped in range(len(text) + 1))
    if pattern[:2] in ("\\%", "\\_"):
        return text[:1] == pattern[1] and matches(text[1:], pattern[2:])
    return bool(text) and pattern[0] in ("_", text[0]) and matches(text[1:], pattern[1:])


@given(TEXTS, TEXTS)
def test_like_is_what_its_definition_says(text: str, pattern: str) -> None:
    assert parse(f"it LIKE '{pattern.rstrip(chr(92))}'")({"it": text}) is matches(text, pattern.rstrip("\\"))


def test_a_pattern_of_many_wildcards_is_done_in_no_time() -> None:
    wanted, began = parse(f"it LIKE '{'%a' * 50}b'"), time.monotonic()
    assert wanted({"it": "a" * 50_000}) is False
    assert time.monotonic() - began < 2


@given(INTEGERS, INTEGERS.filter(bool))
def test_a_quotient_and_its_remainder_make_the_dividend(dividend: int, divisor: int) -> None:
    given_ = {"a": str(dividend), "b": str(divisor)}
    assert parse("a / b * b + a % b")(given_) == dividend
    remainder = parse("a % b")(given_)
    assert isinstance(remainder, int)
    assert remainder == 0 or (remainder < 0) is (dividend < 0)


@given(INTEGERS, INTEGERS, st.sampled_from("+-*"))
def test_integers_stay_integers_of_32_bits(left: int, right: int, sign: str) -> None:
    value = parse(f"a {sign} b")({"a": str(left), "b": str(right)})
    exact = {"+": left + right, "-": left - right, "*": left * right}[sign]
    assert isinstance(value, int)
    assert -(2**31) <= value < 2**31
    assert (value - exact) % 2**32 == 0


EXPRESSIONS = st.recursive(
    st.sampled_from(["TRUE", "FALSE", "1", "0", "'x'", "'true'", "a", "b", "missing"]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR", "XOR", "=", "<", "+", "/"]), inner),
        st.builds("NOT {}".format, inner),
        st.builds("UPPER({})".format, inner),
        st.builds("{} IN ({}, 2)".format, inner, inner),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.fixed_dictionaries({"a": st.text("1tf", max_size=2), "b": st.just("true")}))
def test_an_expression_has_a_value_or_says_why_not_and_always_the_same(
    expression: str, attributes: dict[str, str]
) -> None:
    def outcome() -> object:
        try:
            return wanted(attributes)
        except EvaluationError as error:
            return error.kind

    wanted = parse(expression)
    assert outcome() == outcome()


@given(st.text(max_size=30))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        wanted = parse(text)
    except ParseError as refused:
        said = str(refused)
    else:
        said = "" if callable(wanted) else "no expression"
    assert not said or said.startswith(("at ", "more than"))
