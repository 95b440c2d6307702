"""From a row of data to what a model learns: token ids, and which of them are an answer's. Pure.

A chat model is tuned by its own chat template, so that it is asked later as it was taught.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from training.failure import TuningError
from training.settings import DatasetSection

#: A label that is not learned.
IGNORED: Final = -100
#: What columns are called that hold a conversation, or a question and its answer, or what is asked and with what.
_CONVERSATIONS: Final = ("messages", "conversations", "conversation")
_PAIRS: Final = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("input", "output"))
_INSTRUCTED: Final = ("output", "response", "completion", "answer")
_CONTEXTS: Final = ("input", "context")
_ROLES: Final = {"human": "user", "gpt": "assistant", "bot": "assistant"}

Turn = dict[str, Any]


class RowError(Exception):
    """What is wrong with a row of data."""


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | None
    eos_token: str | None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def apply_chat_template(self, conversation: list[Turn], **options: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Example:
    """Of one length: ``labels`` are the ids, or IGNORED."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are read: a conversation, or what is ``asked`` (joined) and what is ``answered``, or a text."""

    messages: str = ""
    asked: tuple[str, ...] = ()
    answered: str = ""
    text: str = ""


def columns(names: Collection[str], wanted: DatasetSection) -> Columns:
    """The configured ones, or those with names that are understood. Raises TuningError."""
    for name in filter(None, (wanted.messages_column, wanted.context_column, wanted.response_column)):
        if name not in names:
            raise TuningError(
                "DataInvalid", f"DatasetConfig names the column {name}, and the data have {', '.join(sorted(names))}."
            )
    if wanted.messages_column:
        return Columns(messages=wanted.messages_column)
    if wanted.response_column:
        asked = (wanted.context_column,) if wanted.context_column else ()
        return Columns(asked=asked, answered=wanted.response_column)
    if found := next((name for name in _CONVERSATIONS if name in names), None):
        return Columns(messages=found)
    if "instruction" in names and (answered := next((name for name in _INSTRUCTED if name in names), None)):
        context = tuple(name for name in _CONTEXTS if name in names)[:1]
        return Columns(asked=("instruction", *context), answered=answered)
    for asks, answers in _PAIRS:
        if asks in names and answers in names:
            return Columns(asked=(asks,), answered=answers)
    if "text" in names:
        return Columns(text="text")
    raise TuningError(
        "DataInvalid",
        f"the data have the columns {', '.join(sorted(names))}, and none is understood: give messages, prompt and"
        " completion, instruction and output, or text, or name yours in DatasetConfig (messages_column, or"
        " context_column and response_column).",
    )


def example(row: Mapping[str, Any], read: Columns, tokenizer: Tokenizer, *, answers_only: bool) -> Example:
    """One row, not yet cut to a length. Raises RowError."""
    if read.text:
        ids = tokenizer.encode(_text(row, read.text) + (tokenizer.eos_token or ""))
        return Example(ids, list(ids))
    if read.messages:
        turns = _conversation(row[read.messages])
    else:
        asked = "\n\n".join(filter(None, (_text(row, name, empty=name != read.asked[0]) for name in read.asked)))
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": _text(row, read.answered)}]
        turns = turns if asked else turns[1:]
    if tokenizer.chat_template is None:
        return _continued(turns, tokenizer, answers_only=answers_only)
    ids = _templated(turns, tokenizer)
    return Example(ids, _answers(turns, ids, tokenizer) if answers_only else list(ids))


def _continued(turns: Sequence[Turn], tokenizer: Tokenizer, *, answers_only: bool) -> Example:
    """Of a model without a chat template: what was said, one after the other."""
    ids, labels = list[int](), list[int]()
    for number, turn in enumerate(turns):
        answer = turn["role"] == "assistant"
        end = tokenizer.eos_token or "" if answer else "\n"
        some = tokenizer.encode(turn["content"] + end, add_special_tokens=number == 0)
        ids += some
        labels += some if answer or not answers_only else [IGNORED] * len(some)
    return Example(ids, labels)


def _answers(turns: Sequence[Turn], ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """The labels of the assistant's turns: what its template adds to a conversation that ends with each."""
    labels = [IGNORED] * len(ids)
    for number, turn in enumerate(turns):
        if turn["role"] == "assistant":
            before = _templated(turns[:number], tokenizer, add_generation_prompt=True) if number else []
            through = _templated(turns[: number + 1], tokenizer)
            if ids[: len(through)] != through or through[: len(before)] != before:
                raise RowError(
                    "the chat template writes a turn otherwise where others follow it, so that its answers cannot be"
                    " told from the rest: set DatasetConfig.completion_only_loss to false"
                )
            labels[len(before) : len(through)] = ids[len(before) : len(through)]
    return labels


def _templated(turns: Sequence[Turn], tokenizer: Tokenizer, **options: bool) -> list[int]:
    encoded = tokenizer.apply_chat_template(list(turns), tokenize=True, return_dict=True, **options)
    ids: list[int] = encoded["input_ids"]
    return ids


def _conversation(given: Any) -> list[Turn]:
    if not isinstance(given, list) or not given:
        raise RowError("a conversation is a list of {role, content}")
    turns = []
    for turn in given:
        if not isinstance(turn, Mapping):
            raise RowError(f"a turn is {turn!r}, not {{role, content}}")
        role, content = turn.get("role") or turn.get("from"), turn.get("content") or turn.get("value")
        if not isinstance(role, str) or not isinstance(content, str):
            raise RowError("a turn has no role or no content that is a text")
        turns.append({"role": _ROLES.get(role, role), "content": content})
    if not any(turn["role"] == "assistant" for turn in turns):
        raise RowError("a conversation has no turn of the role assistant to learn from")
    return turns


def _text(row: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = row[name]
    if value is None and empty:
        return ""
    if not isinstance(value, str):
        raise RowError(f"{name} is {'empty' if value is None else repr(value)}, not a text")
    if not value and not empty:
        raise RowError(f"{name} is empty")
    return value
