"""CESQL's built-in functions. Characters are counted from 1, and from the end where the number is negative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventing.cesql.values import Cast, EvaluationError, Value, boolean, fits, integer, string

#: Unicode's White_Space: Python's strip takes four control characters besides.
_WHITE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True, slots=True)
class Function:
    """``parameters`` cast the arguments; a ``variadic`` one takes any number of strings besides."""

    parameters: tuple[Cast, ...]
    call: Callable[..., Value]
    variadic: bool = False

    def takes(self, count: int) -> bool:
        return count == len(self.parameters) or (self.variadic and count > len(self.parameters))

    def __call__(self, arguments: Sequence[Value]) -> Value:
        casts = (*self.parameters, *[string] * (len(arguments) - len(self.parameters)))
        return self.call(*(cast(value) for cast, value in zip(casts, arguments, strict=True)))


def find(name: str, count: int) -> Function | None:
    """The function of that name, in capitals, for so many arguments."""
    return next((function for function in _FUNCTIONS.get(name, ()) if function.takes(count)), None)


def _absolute(number: int) -> int:
    if not fits(abs(number)):
        raise EvaluationError("math", f"the absolute value of {number} takes more than 32 bits")
    return abs(number)


def _left(text: str, count: int) -> str:
    return text[: _counted("LEFT", count)]


def _right(text: str, count: int) -> str:
    return text[max(len(text) - _counted("RIGHT", count), 0) :]


def _substring(text: str, position: int, length: int | None = None) -> str:
    if length is not None:
        _counted("SUBSTRING", length)
    if position == 0:
        return ""
    if abs(position) > len(text):
        raise EvaluationError("functionEvaluation", f"SUBSTRING: {text!r} has no character {position}")
    begin = position - 1 if position > 0 else len(text) + position
    return text[begin : None if length is None else begin + length]


def _counted(name: str, count: int) -> int:
    if count < 0:
        raise EvaluationError("functionEvaluation", f"{name}: {count} characters are less than none")
    return count


def _casts(cast: Cast) -> Callable[[Value], bool]:
    def succeeds(value: Value) -> bool:
        try:
            cast(value)
        except EvaluationError:
            return False
        return True

    return succeeds


def _same(value: Value) -> Value:
    return value


_FUNCTIONS: Final[Mapping[str, tuple[Function, ...]]] = {
    "ABS": (Function((integer,), _absolute),),
    "BOOL": (Function((boolean,), _same),),
    "CONCAT": (Function((), lambda *texts: "".join(texts), variadic=True),),
    "CONCAT_WS": (Function((string,), lambda between, *texts: between.join(texts), variadic=True),),
    "INT": (Function((integer,), _same),),
    "IS_BOOL": (Function((_same,), _casts(boolean)),),
    "IS_INT": (Function((_same,), _casts(integer)),),
    "LEFT": (Function((string, integer), _left),),
    "LENGTH": (Function((string,), len),),
    "LOWER": (Function((string,), str.lower),),
    "RIGHT": (Function((string, integer), _right),),
    "STRING": (Function((string,), _same),),
    "SUBSTRING": (Function((string, integer), _substring), Function((string, integer, integer), _substring)),
    "TRIM": (Function((string,), lambda text: text.strip(_WHITE)),),
    "UPPER": (Function((string,), str.upper),),
}
