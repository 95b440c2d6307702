"""CESQL's operators, as expressions of expressions. An operand that has no value leaves the whole without one."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from eventing.cesql.values import (
    Attributes,
    EvaluationError,
    Expression,
    Value,
    boolean,
    integer,
    like,
    string,
    wrapped,
)

Binary = Callable[[Expression, Expression], Expression]
#: Of a pattern: an escaped character, or one that stands for others, or any.
_PIECE: Final = re.compile(r"\\([%_])|(%)|(_)|(.)", re.DOTALL)


def attribute(name: str) -> Expression:
    def value(attributes: Attributes) -> Value:
        if name not in attributes:
            raise EvaluationError("missingAttribute", f"the event has no attribute {name}")
        return attributes[name]

    return value


def exists(name: str) -> Expression:
    return lambda attributes: name in attributes


def opposite(operand: Expression) -> Expression:
    return lambda attributes: not boolean(operand(attributes))


def negated(operand: Expression) -> Expression:
    return lambda attributes: wrapped(-integer(operand(attributes)))


def is_like(operand: Expression, pattern: str) -> Expression:
    """``%`` stands for any characters, ``_`` for one; a backslash before them takes that away."""
    wanted = re.compile(_regular(pattern), re.DOTALL)
    return lambda attributes: wanted.fullmatch(string(operand(attributes))) is not None


def is_in(operand: Expression, elements: Sequence[Expression]) -> Expression:
    def found(attributes: Attributes) -> bool:
        value = operand(attributes)
        return any(like(element(attributes), value) == value for element in elements)

    return found


def _regular(pattern: str) -> str:
    """What is between two ``%`` is looked for once, from the left: going back for another place finds nothing more,
    and would take for ever on a long text."""
    first, *parts = _parts(pattern)
    if not parts:
        return first
    *middle, last = parts
    return first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}"


def _parts(pattern: str) -> list[str]:
    """The regular expressions between its ``%``."""
    parts = [""]
    for escaped, many, one, literal in _PIECE.findall(pattern):
        if many:
            parts.append("")
        else:
            parts[-1] += "." if one else re.escape(escaped or literal)
    return parts


def _logic(decide: Callable[[bool, Callable[[], bool]], bool]) -> Binary:
    """``decide`` asks for the right operand only where the left one leaves it open."""

    def expression(left: Expression, right: Expression) -> Expression:
        return lambda attributes: decide(boolean(left(attributes)), lambda: boolean(right(attributes)))

    return expression


def _equality(wanted: bool) -> Binary:
    def expression(left: Expression, right: Expression) -> Expression:
        def decide(attributes: Attributes) -> bool:
            value, other = left(attributes), right(attributes)
            return (like(value, other) == other) is wanted

        return decide

    return expression


def _of_integers(compute: Callable[[int, int], Value]) -> Binary:
    def expression(left: Expression, right: Expression) -> Expression:
        return lambda attributes: compute(integer(left(attributes)), integer(right(attributes)))

    return expression


def _math(compute: Callable[[int, int], int]) -> Binary:
    return _of_integers(lambda left, right: wrapped(compute(left, right)))


def _quotient(left: int, right: int) -> int:
    """Rounded towards zero, where Python's goes down."""
    if right == 0:
        raise EvaluationError("math", f"{left} is divided by zero")
    return abs(left) // abs(right) * (1 if (left < 0) is (right < 0) else -1)


LOGIC: Final[Mapping[str, Binary]] = {
    "AND": _logic(lambda left, right: left and right()),
    "OR": _logic(lambda left, right: left or right()),
    "XOR": _logic(lambda left, right: left is not right()),
}
COMPARISONS: Final[Mapping[str, Binary]] = {
    "=": _equality(True),
    "!=": _equality(False),
    "<>": _equality(False),
    "<": _of_integers(operator.lt),
    "<=": _of_integers(operator.le),
    ">": _of_integers(operator.gt),
    ">=": _of_integers(operator.ge),
}
MATH: Final[Mapping[str, Binary]] = {
    "+": _math(operator.add),
    "-": _math(operator.sub),
    "*": _math(operator.mul),
    "/": _math(_quotient),
    "%": _math(lambda left, right: left - right * _quotient(left, right)),
}
