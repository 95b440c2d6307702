"""From CESQL's text to an expression, by precedence climbing over the reference grammar.

Three of that grammar's rules surprise: NOT and minus hold tighter than anything else, so that ``NOT a = b`` is
``(NOT a) = b``; AND, OR and XOR are of one rank and group from the right; a sign belongs to the digits behind it, so
that ``1 -1`` are two numbers and no difference. Knative reads a Trigger so, and a filter must not mean two things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventing.cesql import functions
from eventing.cesql.operators import COMPARISONS, LOGIC, MATH, attribute, exists, is_in, is_like, negated, opposite
from eventing.cesql.values import EvaluationError, Expression, integer

_TOKEN: Final = re.compile(
    r"""(?P<string>'(?:\\.|''|[^'\\])*'|"(?:\\.|""|[^"\\])*")
    |(?P<integer>[+-][0-9]+|[0-9]+(?![a-zA-Z0-9_]))
    |(?P<word>[a-zA-Z0-9_]+)
    |(?P<sign>!=|<>|<=|>=|[-+*/%=<>(),])""",
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ATTRIBUTE: Final = re.compile(r"[a-zA-Z0-9]+")
_FUNCTION: Final = re.compile(r"[a-zA-Z][a-zA-Z_]*")
_KEYWORDS: Final = frozenset(("AND", "EXISTS", "FALSE", "IN", "LIKE", "NOT", "OR", "TRUE", "XOR"))
#: How tightly operators hold; those of LOGIC group from the right, all others from the left.
_LOGIC, _COMPARISON, _SUM, _PRODUCT, _SET, _UNARY = range(1, 7)
_RANKS: Final[Mapping[str, int]] = {
    **dict.fromkeys(LOGIC, _LOGIC),
    **dict.fromkeys(COMPARISONS, _COMPARISON),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
    **dict.fromkeys(("NOT", "LIKE", "IN"), _SET),
}
#: What messages call a kind of token.
_NAMES: Final = {"end": "the end", "word": "an attribute", "string": "a quoted text"}
#: Operations one within the other: more would take Python's stack, here or when they are evaluated.
_DEEPEST: Final = 150


class ParseError(Exception):
    """The text is no CESQL; the message says where, counting characters from 1, and what was expected."""


def parse(text: str) -> Expression:
    """Raises ParseError, also for a function that there is not."""
    parser = _Parser(text)
    found = parser.expression()
    parser.expect("end")
    return found


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind`` is ``string``, ``integer``, ``word`` or ``end``, or what it is itself: a sign, a keyword in capitals."""

    kind: str
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._end, self._depth = text, 0, 0
        self._token = self._read()

    def expression(self, rank: int = _LOGIC) -> Expression:
        """All that holds together at least as tightly as ``rank``."""
        outside = self._depth
        self._deepen()
        found = self._operand()
        while _RANKS.get(self._token.kind, 0) >= rank:
            self._deepen()
            found = self._operation(found)
        self._depth = outside
        return found

    def expect(self, kind: str) -> _Token:
        if self._token.kind != kind:
            raise _misplaced(self._token, _NAMES.get(kind, kind))
        return self._next()

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ParseError(f"more than {_DEEPEST} operations within each other: use several filters, or IN")

    def _operand(self) -> Expression:
        token = self._next()
        if token.kind == "NOT":
            return opposite(self.expression(_UNARY))
        if token.kind == "-":
            return negated(self.expression(_UNARY))
        if token.kind == "(":
            found = self.expression()
            self.expect(")")
            return found
        if token.kind == "EXISTS":
            return exists(self._attribute(self.expect("word")))
        if token.kind == "word":
            return self._call(token) if self._token.kind == "(" else attribute(self._attribute(token))
        if token.kind in ("TRUE", "FALSE"):
            truth = token.kind == "TRUE"
            return lambda _: truth
        if token.kind == "string":
            text = _unquoted(token.text)
            return lambda _: text
        if token.kind == "integer":
            return self._integer(token)
        raise _misplaced(token, "a value")

    def _integer(self, token: _Token) -> Expression:
        try:
            number = integer(token.text)
        except EvaluationError as error:
            raise ParseError(f"at {token.at}: {error}") from error
        return lambda _: number

    def _operation(self, left: Expression) -> Expression:
        token = self._next()
        if token.kind in LOGIC:
            return LOGIC[token.kind](left, self.expression(_LOGIC))
        if token.kind in COMPARISONS:
            return COMPARISONS[token.kind](left, self.expression(_COMPARISON + 1))
        if token.kind in MATH:
            return MATH[token.kind](left, self.expression(_RANKS[token.kind] + 1))
        is_not = token.kind == "NOT"
        if is_not:
            token = self._next()
        if token.kind == "LIKE":
            found = is_like(left, _unquoted(self.expect("string").text))
        elif token.kind == "IN":
            self.expect("(")
            found = is_in(left, self._several())
        else:
            raise _misplaced(token, "LIKE or IN")
        return opposite(found) if is_not else found

    def _call(self, token: _Token) -> Expression:
        self._next()
        arguments = [] if self._token.kind == ")" and self._next() else self._several()
        name = token.text.upper()
        function = functions.find(name, len(arguments)) if _FUNCTION.fullmatch(name) else None
        if function is None:
            raise ParseError(f"at {token.at}: there is no function {name} of {len(arguments)} arguments")
        return _applied(function, arguments)

    def _several(self) -> list[Expression]:
        """Expressions between commas, up to a bracket that closes."""
        found = [self.expression()]
        while self._token.kind == ",":
            self._next()
            found.append(self.expression())
        self.expect(")")
        return found

    def _attribute(self, token: _Token) -> str:
        if not _ATTRIBUTE.fullmatch(token.text):
            raise ParseError(f"at {token.at}: {token.text!r} is no attribute's name: letters and digits")
        return token.text.lower()

    def _next(self) -> _Token:
        token, self._token = self._token, self._read()
        return token

    def _read(self) -> _Token:
        space = _SPACE.match(self._text, self._end)
        assert space is not None, "it matches nothing, too"
        begin = space.end()
        if begin == len(self._text):
            return _Token("end", "the end", begin + 1)
        match = _TOKEN.match(self._text, begin)
        if match is None:
            raise ParseError(f"at {begin + 1}: {self._text[begin : begin + 10]!r} begins nothing that CESQL has")
        self._end = match.end()
        kind, text = str(match.lastgroup), match.group()
        if kind == "sign" or (kind == "word" and text.upper() in _KEYWORDS):
            kind = text.upper()
        return _Token(kind, text, begin + 1)


def _applied(function: functions.Function, arguments: list[Expression]) -> Expression:
    return lambda attributes: function([argument(attributes) for argument in arguments])


def _misplaced(token: _Token, wanted: str) -> ParseError:
    return ParseError(f"at {token.at}: {token.text} stands where {wanted} should")


def _unquoted(literal: str) -> str:
    quote = literal[0]
    return literal[1:-1].replace(f"\\{quote}", quote)
