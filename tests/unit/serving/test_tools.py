"""Calls of tools, found in an answer however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tools import CLOSE, OPEN, Call, Listener, call_schema, speaks_of_tools

CALL = f'{OPEN}{{"name": "f", "arguments": {{"x": 1}}}}{CLOSE}'
HEARD = Call("f", '{"x": 1}')


def hear(pieces: list[str], *, calling: bool = False) -> tuple[str, list[Call]]:
    listener = Listener(calling=calling)
    text = "".join(listener.add(piece) for piece in pieces)
    rest, calls = listener.end()
    return text + rest, calls


@pytest.mark.parametrize(
    ("said", "text", "calls"),
    [
        ("no call", "no call", []),
        (f"I look. {CALL}", "I look. ", [HEARD]),
        (f"{CALL}\n{CALL} done", "done", [HEARD, HEARD]),
        (CALL.removesuffix(CLOSE), "", [HEARD]),
        (f'{OPEN}{{"name": "f", "arguments": "{{}}"}}{CLOSE}', "", [Call("f", "{}")]),
        (f'{OPEN}{{"name": "f"}}{CLOSE}', "", [Call("f", "{}")]),
        (f"a {OPEN}not JSON{CLOSE} b", f"a {OPEN}not JSON{CLOSE} b", []),
        (f"{OPEN}[1]{CLOSE}", f"{OPEN}[1]{CLOSE}", []),
        ("1 < 2 <tool", "1 < 2 <tool", []),
    ],
)
def test_what_is_said_is_text_and_calls(said: str, text: str, calls: list[Call]) -> None:
    assert hear([said]) == (text, calls)
    assert hear(list(said)) == (text, calls)


@given(st.lists(st.integers(0, len(f"well {CALL}"))))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    said = f"well {CALL}"
    marks = [0, *sorted(cuts), len(said)]
    assert hear([said[a:b] for a, b in itertools.pairwise(marks)]) == ("well ", [HEARD])


def test_an_answer_may_go_on_after_the_opening() -> None:
    assert hear(['{"name": "f", ', '"arguments": {"x": 1}}'], calling=True) == ("", [HEARD])


def test_a_call_is_one_of_the_functions() -> None:
    assert call_schema([("f", {"type": "object"}), ("g", {})])["anyOf"][1]["properties"] == {
        "name": {"const": "g"},
        "arguments": {"type": "object"},
    }


def test_templates_that_know_tools() -> None:
    assert speaks_of_tools("{% if tools %}<tool_call>{% endif %}")
    assert not speaks_of_tools("{{ messages }}")
