"""Tools: functions of a client's that the model may call. Pure.

How a model calls one is its chat template's: here as Hermes' and Qwen's do, a JSON object of ``name`` and ``arguments``
between two tags.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from serving.schema import Schema
from serving.text import begun

OPEN, CLOSE = "<tool_call>", "</tool_call>"
#: What the answer begins with where a call is asked for.
OPENING: Final = f"{OPEN}\n"


@dataclass(frozen=True, slots=True)
class Call:
    """``arguments``: JSON, as OpenAI's API has it."""

    name: str
    arguments: str


def speaks_of_tools(template: str) -> bool:
    """Does the chat template show tools to the model, in the way that is understood here?"""
    return "tools" in template and OPEN in template


def call_schema(functions: Sequence[tuple[str, Schema]]) -> Schema:
    """What a call of one of these is, given their names and parameters."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": parameters or {"type": "object"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, parameters in functions
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


class Listener:
    """Takes an answer apart as it comes: text is passed on, calls are kept until the end."""

    def __init__(self, *, calling: bool) -> None:
        """``calling``: the answer goes on after OPENING."""
        self._held = OPENING if calling else ""
        self._calling = calling

    def add(self, text: str) -> str:
        """What is no call, for sure."""
        self._held += text
        if self._calling:
            return ""
        at = self._held.find(OPEN)
        if at < 0:
            at = len(self._held) - begun(self._held, OPEN)
        else:
            self._calling = True
        passed, self._held = self._held[:at], self._held[at:]
        return passed

    def end(self) -> tuple[str, list[Call]]:
        """The text that is left, and the calls; what looks like a call and is none is text."""
        calls, text = [], ""
        first, *parts = self._held.split(OPEN)
        for part in parts:
            said, _, after = part.partition(CLOSE)
            if (call := _call(said)) is not None:
                calls.append(call)
                text += after.strip()
            else:
                text += OPEN + part
        return first + text, calls


def _call(said: str) -> Call | None:
    try:
        found: Any = json.loads(said)
    except ValueError:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return None
    arguments = found.get("arguments", {})
    if isinstance(arguments, str):  # some models write them as JSON in JSON
        return Call(found["name"], arguments)
    return Call(found["name"], json.dumps(arguments, ensure_ascii=False))
