"""Calls of tools, found in an answer however it is cut into pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tools import HERMES, LLAMA, MISTRAL, PHI, Call, Dialect, Listener, dialect

ONE = '{"name": "f", "arguments": {"x": 1}}'
OPEN, CLOSE = "<tool_call>", "</tool_call>"
CALL = f"{OPEN}{ONE}{CLOSE}"
HEARD = Call("f", '{"x": 1}')
ASKED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "f of 1?"},
    {"role": "assistant", "content": "", "tool_calls": [ASKED]},
    {"role": "tool", "content": "2", "tool_call_id": "call_1"},
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def hear(spoken: Dialect, pieces: list[str], *, calling: bool = False) -> tuple[str, list[Call]]:
    listener = Listener(spoken, calling=calling)
    text = "".join(listener.add(piece) for piece in pieces)
    rest, calls = listener.end()
    return text + rest, calls


@pytest.mark.parametrize(
    ("spoken", "said", "text", "calls"),
    [
        (HERMES, "no call", "no call", []),
        (HERMES, f"I look. {CALL}", "I look. ", [HEARD]),
        (HERMES, f"{CALL}\n{CALL} done", "done", [HEARD, HEARD]),
        (HERMES, CALL.removesuffix(CLOSE), "", [HEARD]),
        (HERMES, f'{OPEN}{{"name": "f", "arguments": "{{}}"}}{CLOSE}', "", [Call("f", "{}")]),
        (HERMES, f'{OPEN}{{"name": "f"}}{CLOSE}', "", [Call("f", "{}")]),
        (HERMES, f"a {OPEN}not JSON{CLOSE} b", f"a {OPEN}not JSON{CLOSE} b", []),
        (HERMES, f"{OPEN}[1]{CLOSE}", f"{OPEN}[1]{CLOSE}", []),
        (HERMES, f'{OPEN}{{"name": 1}}{CLOSE}', f'{OPEN}{{"name": 1}}{CLOSE}', []),
        (HERMES, "1 < 2 <tool", "1 < 2 <tool", []),
        (HERMES, ONE, ONE, []),
        (MISTRAL, f"[TOOL_CALLS] [{ONE}, {ONE}]", "", [HEARD, HEARD]),
        (MISTRAL, f" [{ONE}]", "", [HEARD]),  # the mark is a special token, which is no text
        (MISTRAL, f"Here: [{ONE}]", f"Here: [{ONE}]", []),
        (MISTRAL, '[{"a": 1}]', '[{"a": 1}]', []),
        (MISTRAL, "[1, 2]", "[1, 2]", []),
        (PHI, f"<|tool_call|>[{ONE}]<|/tool_call|>", "", [HEARD]),
        (PHI, f"[{ONE}]", "", [HEARD]),
        (LLAMA, '{"name": "f", "parameters": {"x": 1}}', "", [HEARD]),
        (LLAMA, '<|python_tag|>{"name": "f", "parameters": {}}; {"name": "f"}', "", [Call("f", "{}"), Call("f", "{}")]),
        (LLAMA, '{"name": "Ann"', '{"name": "Ann"', []),
    ],
)
def test_what_is_said_is_text_and_calls(spoken: Dialect, said: str, text: str, calls: list[Call]) -> None:
    assert hear(spoken, [said]) == (text, calls)
    assert hear(spoken, list(said)) == (text, calls)


@given(st.lists(st.integers(0, len(f"well {CALL}"))))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    said = f"well {CALL}"
    marks = [0, *sorted(cuts), len(said)]
    assert hear(HERMES, [said[a:b] for a, b in itertools.pairwise(marks)]) == ("well ", [HEARD])


def test_text_that_is_no_call_is_not_kept() -> None:
    listener = Listener(MISTRAL, calling=False)
    assert listener.add("[a") == "[a"
    assert listener.add(" [{") == " [{"


@pytest.mark.parametrize("spoken", [HERMES, MISTRAL, PHI, LLAMA])
def test_an_answer_may_go_on_after_the_opening(spoken: Dialect) -> None:
    call = json.dumps({"name": "f", spoken.arguments: {"x": 1}})
    said = f"[{call}]" if spoken.listed else call
    assert hear(spoken, [said[:20], said[20:]], calling=True) == ("", [HEARD])


def test_a_call_is_one_of_the_functions() -> None:
    functions: list[tuple[str, dict[str, Any]]] = [("f", {"type": "object"}), ("g", {})]
    assert HERMES.schema(functions)["anyOf"][1]["properties"] == {
        "name": {"const": "g"},
        "arguments": {"type": "object"},
    }
    assert MISTRAL.schema(functions)["items"] == HERMES.schema(functions)
    assert LLAMA.schema(functions[:1])["required"] == ["name", "parameters"]


@pytest.mark.parametrize(
    ("template", "spoken"),
    [
        ("{% if tools %}<tool_call>{% endif %}", HERMES),
        ("{% if tools %}<tool_call><function=f>{% endif %}", None),
        ("{{ tools }}[AVAILABLE_TOOLS]{{ '[TOOL_CALLS] [' }}", MISTRAL),
        ("{{ tools }}[TOOL_CALLS]f[ARGS]", None),
        ("{{ message['content'] + '<|tool|>' + message['tools'] }}", PHI),
        ("{{ tools }}Environment: ipython\n'\"parameters\": '", LLAMA),
        ("{{ messages }}", None),
        ("{{ tools }}", None),
        (None, None),
    ],
)
def test_templates_that_know_tools(template: str | None, spoken: Dialect | None) -> None:
    assert dialect(template) is spoken


def test_mistral_has_ids_of_nine_letters() -> None:
    (_, called, answered), tools = MISTRAL.shown(TALK, [TOOL])
    short = called["tool_calls"][0]["id"]
    assert len(short) == 9
    assert short.isalnum()
    assert answered == {"role": "tool", "content": "2", "tool_call_id": short}
    assert tools == [TOOL]
    assert TALK[1]["tool_calls"] == [ASKED]


def test_phi_has_its_tools_in_the_system_message() -> None:
    turns, tools = PHI.shown(TALK, [TOOL])
    assert tools == []
    assert turns[0] == {"role": "system", "content": "", "tools": json.dumps([TOOL["function"]])}
    assert turns[2] == {"role": "assistant", "content": f"<|tool_call|>[{ONE}]<|/tool_call|>"}
    assert turns[3] == TALK[2]


def test_phi_keeps_the_system_message_there_is() -> None:
    said = {"role": "system", "content": "Be brief."}
    assert PHI.shown([said, TALK[0]], [TOOL])[0][0]["content"] == "Be brief."
    assert PHI.shown([said, TALK[0]], []) == ([said, TALK[0]], [])
    assert PHI.shown(TALK[:1], []) == (TALK[:1], [])
