"""CESQL's three types, and what becomes of a value where another one is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

Value = str | int | bool
#: An event's context attributes, by name. All are strings: so they are on the wire.
Attributes = Mapping[str, str]
#: What an expression is worth for an event; raises EvaluationError.
Expression = Callable[[Attributes], Value]
Cast = Callable[[Value], Value]

#: A sign, and digits that Python reads however many zeros come before them.
_INTEGER: Final = re.compile(r"([+-]?)0*([0-9]{1,10})")
_LEAST, _MOST = -(2**31), 2**31 - 1


class EvaluationError(Exception):
    """An expression has no value for this event; ``kind`` is the specification's word for why."""

    def __init__(self, kind: Literal["cast", "math", "missingAttribute", "functionEvaluation"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


def integer(value: Value) -> int:
    if not isinstance(value, str):
        return int(value)
    digits = _INTEGER.fullmatch(value)
    if digits is None or not fits(int(digits[1] + digits[2])):
        raise EvaluationError("cast", f"{value[:40]!r} is no integer of 32 bits")
    return int(digits[1] + digits[2])


def boolean(value: Value) -> bool:
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise EvaluationError("cast", f"{value[:40]!r} is neither true nor false")
        return value.lower() == "true"
    return bool(value)


def string(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def like(value: Value, other: Value) -> Value:
    """The value in the type of the other."""
    cast: Cast = boolean if isinstance(other, bool) else integer if isinstance(other, int) else string
    return cast(value)


def fits(number: int) -> bool:
    return _LEAST <= number <= _MOST


def wrapped(number: int) -> int:
    """Arithmetic is that of 32 bits: past its end it goes on from the other one."""
    return (number - _LEAST) % 2**32 + _LEAST
