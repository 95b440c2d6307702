"""How OpenAI's API writes answers down: whole, and piece by piece in a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

from serving.completions import ChatCompletionRequest, CompletionRequest
from serving.logprobs import Chosen, of_chat, of_text
from serving.pipeline import Completion
from serving.tools import Call, Dialect, Listener


class Answer:
    """A completion's text, piece by piece, and afterwards the tool calls in it."""

    def __init__(
        self, completion: Completion, asked: ChatCompletionRequest | CompletionRequest, spoken: Dialect | None
    ) -> None:
        self.completion, self.calls = completion, list[Call]()
        self._listener = Listener(spoken, calling=bool(asked.calls_for)) if asked.shown and spoken else None

    def __iter__(self) -> Iterator[str]:
        if self._listener is None:
            yield from self.completion
            return
        for piece in self.completion:
            yield self._listener.add(piece)
        text, self.calls = self._listener.end()
        yield text

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else self.completion.finish_reason


class Shape:
    """How an answer of one kind is written down."""

    kind: str
    chunk_kind: str
    prefix: str

    def __init__(self, name: str) -> None:
        self._head = {"id": f"{self.prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}

    def whole(self, choices: list[dict[str, Any]], usage: dict[str, int]) -> dict[str, Any]:
        return {**self._head, "object": self.kind, "choices": choices, "usage": usage}

    def chunk(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        return {**self._head, "object": self.chunk_kind, "choices": choices, **({"usage": usage} if usage else {})}

    def choice(self, index: int, text: str, answer: Answer) -> dict[str, Any]:
        """The whole ``text`` of an answer that has ended."""
        raise NotImplementedError

    def opening(self, index: int) -> dict[str, Any] | None:
        """What a stream says of a choice before its text."""
        raise NotImplementedError

    def piece(self, index: int, text: str, told: Sequence[Chosen] | None) -> dict[str, Any]:
        """What a stream says of a piece of text."""
        raise NotImplementedError

    def called(self, index: int, calls: Sequence[Call]) -> dict[str, Any]:
        """What a stream says of tool calls, which come whole."""
        raise NotImplementedError

    def end(self, index: int, finish_reason: str) -> dict[str, Any]:
        """What a stream says last of a choice."""
        return {**self.piece(index, "", None), "finish_reason": finish_reason}


class ChatShape(Shape):
    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, index: int, text: str, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if answer.calls:
            message |= {"content": text or None, "tool_calls": [_shown(call) for call in answer.calls]}
        return {
            "index": index,
            "message": message,
            "logprobs": _of_chat(answer.completion.told()),
            "finish_reason": answer.finish_reason,
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}

    def piece(self, index: int, text: str, told: Sequence[Chosen] | None) -> dict[str, Any]:
        said = {"content": text} if text else {}
        return {"index": index, "delta": said, "logprobs": _of_chat(told), "finish_reason": None}

    def called(self, index: int, calls: Sequence[Call]) -> dict[str, Any]:
        numbered = [{"index": number, **_shown(call)} for number, call in enumerate(calls)]
        return {"index": index, "delta": {"tool_calls": numbered}, "finish_reason": None}


class TextShape(Shape):
    kind, chunk_kind, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(self, name: str, echoed: str) -> None:
        super().__init__(name)
        self._echoed = echoed

    def choice(self, index: int, text: str, answer: Answer) -> dict[str, Any]:
        whole = self.piece(index, self._echoed + text, answer.completion.told())
        return {**whole, "finish_reason": answer.finish_reason}

    def opening(self, index: int) -> dict[str, Any] | None:
        return self.piece(index, self._echoed, None) if self._echoed else None

    def piece(self, index: int, text: str, told: Sequence[Chosen] | None) -> dict[str, Any]:
        logprobs = None if told is None else of_text(told, len(self._echoed))
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}


def usage(made: Sequence[Answer]) -> dict[str, int]:
    """The tokens of one prompt and all its answers."""
    prompt, completed = made[0].completion.prompt_tokens, sum(answer.completion.tokens for answer in made)
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}


def _of_chat(told: Sequence[Chosen] | None) -> dict[str, Any] | None:
    return None if told is None else of_chat(told)


def _shown(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
