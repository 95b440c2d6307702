"""Tools: functions of a client's that the model may call. Pure.

How a model is shown them and calls one is its chat template's: a dialect each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.schema import Schema
from serving.text import begun

Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """``arguments``: JSON, as OpenAI's API has it."""

    name: str
    arguments: str


def _as_they_are(turns: Sequence[Turn], tools: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    return list(turns), list(tools)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How models of a kind call tools: by JSON objects with ``name`` and ``arguments``."""

    name: str
    #: What calls begin with in an answer, any of them, and end with.
    marks: tuple[str, ...]
    close: str
    #: What an answer begins with that is nothing but calls: marks that are special tokens are no text.
    bare: str = ""
    #: What is put in front of an answer where a call is asked for.
    opening: str = ""
    #: What the object calls the arguments; are the objects in a list?
    arguments: str = "arguments"
    listed: bool = False
    #: A conversation and tools in OpenAI's words, as the chat template takes them.
    shown: Callable[[Sequence[Turn], Sequence[Turn]], tuple[list[Turn], list[Turn]]] = _as_they_are

    def schema(self, functions: Sequence[tuple[str, Schema]]) -> Schema:
        """What a call of one of these is, given their names and parameters."""
        calls = [
            {
                "type": "object",
                "properties": {"name": {"const": name}, self.arguments: parameters or {"type": "object"}},
                "required": ["name", self.arguments],
                "additionalProperties": False,
            }
            for name, parameters in functions
        ]
        call = calls[0] if len(calls) == 1 else {"anyOf": calls}
        return {"type": "array", "items": call, "minItems": 1, "maxItems": 1} if self.listed else call

    def read(self, said: str) -> tuple[list[Call], str] | None:
        """The calls at the beginning of what stood behind a mark, and what follows them; None where it is no call."""
        decoder, calls, rest = json.JSONDecoder(), list[Call](), said.lstrip()
        try:
            while rest.startswith(("{", "[")):
                found, end = decoder.raw_decode(rest)
                calls += [self._call(one) for one in (found if isinstance(found, list) else [found])]
                rest = rest[end:].lstrip().removeprefix(";").lstrip()
        except (ValueError, KeyError, TypeError):
            return None
        return (calls, rest.removeprefix(self.close)) if calls else None

    def _call(self, found: Any) -> Call:
        name, arguments = found["name"], found.get(self.arguments, {})
        if not isinstance(name, str):
            raise TypeError(name)
        if isinstance(arguments, str):  # some models write them as JSON in JSON
            return Call(name, arguments)
        return Call(name, json.dumps(arguments, ensure_ascii=False))


def _with_short_ids(turns: Sequence[Turn], tools: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Mistral's templates refuse ids that have not nine letters and digits."""

    def short(wanted: str) -> str:
        return hashlib.sha256(wanted.encode()).hexdigest()[:9]

    def turn(one: Turn) -> Turn:
        calls = [{**call, "id": short(call["id"])} for call in one.get("tool_calls", ())]
        answered = {"tool_call_id": short(one["tool_call_id"])} if "tool_call_id" in one else {}
        return one | ({"tool_calls": calls} if calls else {}) | answered

    return [turn(one) for one in turns], list(tools)


def _in_the_system_message(turns: Sequence[Turn], tools: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Phi's template looks for tools there, as text, and does not know calls of earlier turns."""
    first, rest = ({"role": "system", "content": ""}, turns)
    if turns and turns[0]["role"] == "system":
        first, rest = turns[0], turns[1:]
    if tools:
        first = first | {"tools": json.dumps([tool["function"] for tool in tools], ensure_ascii=False)}
    return [*([first] if first["content"] or tools else []), *(_told(turn) for turn in rest)], []


def _told(turn: Turn) -> Turn:
    if not turn.get("tool_calls"):
        return turn
    calls = json.dumps([call["function"] for call in turn["tool_calls"]], ensure_ascii=False)
    kept = {key: value for key, value in turn.items() if key != "tool_calls"}
    return kept | {"content": f"{turn['content']}{_PHI_OPEN}{calls}{_PHI_CLOSE}"}


_HERMES_OPEN, _HERMES_CLOSE = "<tool_call>", "</tool_call>"
_PHI_OPEN, _PHI_CLOSE = "<|tool_call|>", "<|/tool_call|>"
HERMES: Final = Dialect("Hermes", (_HERMES_OPEN,), _HERMES_CLOSE, opening=f"{_HERMES_OPEN}\n")
MISTRAL: Final = Dialect(
    "Mistral", ("[TOOL_CALLS]",), "", bare="[{", opening="[TOOL_CALLS]", listed=True, shown=_with_short_ids
)
PHI: Final = Dialect("Phi", (_PHI_OPEN,), _PHI_CLOSE, "[{", _PHI_OPEN, listed=True, shown=_in_the_system_message)
LLAMA: Final = Dialect("Llama", ("<|python_tag|>",), "", bare='{"name"', arguments="parameters")


def dialect(template: str | None) -> Dialect | None:
    """The one that a chat template speaks; None where it shows the model no tools, or in a way not understood here."""
    if template is None or "tools" not in template:
        return None
    if _HERMES_OPEN in template:
        return None if "<function=" in template else HERMES  # Qwen3-Coder's calls are no JSON
    if "[TOOL_CALLS]" in template:
        return None if "[ARGS]" in template else MISTRAL  # the later ones' are no lists
    if "<|tool|>" in template:
        return PHI
    if '"parameters": ' in template and "ipython" in template:
        return LLAMA
    return None


class Listener:
    """Takes an answer apart as it comes: text is passed on, calls are kept until the end."""

    def __init__(self, spoken: Dialect, *, calling: bool) -> None:
        """``calling``: the answer goes on after the dialect's opening."""
        self._spoken = spoken
        self._held = ""
        self._mark = "" if calling else None  # what the calls that are held began with
        self._passed = False

    def add(self, text: str) -> str:
        """What is no call, for sure."""
        self._held += text
        if self._mark is not None:
            return ""
        found = [(at, mark) for mark in self._spoken.marks if (at := self._held.find(mark)) >= 0]
        if found:
            at, self._mark = min(found)
            passed, self._held = self._held[:at], self._held[at + len(self._mark) :]
        elif self._may_be_bare():
            passed = ""
        else:
            keep = max(begun(self._held, mark) for mark in self._spoken.marks)
            passed, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self._passed |= bool(passed.strip())
        return passed

    def _may_be_bare(self) -> bool:
        bare, said = self._spoken.bare, self._held.lstrip()
        return bool(bare) and not self._passed and (said.startswith(bare) or bare.startswith(said))

    def end(self) -> tuple[str, list[Call]]:
        """The text that is left, and the calls; what looks like a call and is none is text."""
        if self._mark is None and not self._may_be_bare():
            return self._held, []
        calls, text = [], ""
        for mark, said in _split(self._held, self._mark or "", self._spoken.marks):
            read = self._spoken.read(said)
            if read is None:
                text += mark + said
            else:
                calls += read[0]
                text += read[1].strip()
        return text, calls


def _split(said: str, mark: str, marks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each mark and what is said after it."""
    while found := [(at, one) for one in marks if (at := said.find(one)) >= 0]:
        at, following = min(found)
        yield mark, said[:at]
        mark, said = following, said[at + len(following) :]
    yield mark, said
