"""OpenAI's API: its models, chat completions and completions, whole or as a stream of server-sent events.

Names and shapes are OpenAI's, so that its client works unchanged.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import structlog
from flask import Blueprint, Response, request

from serving.completions import ChatCompletionRequest, CompletionRequest, parse
from serving.pipeline import Completion, Gone
from serving.startup import Model
from serving.tools import Call, Listener

PREFIX: Final = "/v1/"
#: What is said of a failure that is the model's.
FAILED: Final = "The model failed while it answered. The server's log has the cause."
_TYPES: Final = {400: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_log = structlog.get_logger()
Place = Callable[[], AbstractContextManager[None]]


def error(status: int, sentence: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The body of what went wrong."""
    return {
        "error": {"message": sentence, "type": _TYPES.get(status, "server_error"), "param": param, "code": code},
    }


def routes(model: Callable[[str], Model], names: Sequence[str], place: Place, client: Callable[[], Gone]) -> Blueprint:
    """All under ``/v1``, for the models of these ``names``.

    ``place`` holds a request's place; ``client`` makes what tells whether it has hung up.
    """
    blueprint = Blueprint("openai", __name__, url_prefix="/v1")
    began = int(time.time())
    base = names[0]
    described = {name: {"id": name, "object": "model", "created": began, "owned_by": "kaito"} for name in names}
    for name in names[1:]:
        described[name]["parent"] = base  # as vLLM says which model an adapter is for

    @blueprint.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": list(described.values())}

    @blueprint.get("/models/<path:wanted>")
    def one(wanted: str) -> Any:
        return described.get(wanted) or _unknown(wanted, names)

    @blueprint.post("/chat/completions")
    def chat() -> Any:
        asked = parse(ChatCompletionRequest, body())
        return answer(asked, _Chat(asked.model))

    @blueprint.post("/completions")
    def complete() -> Any:
        asked = parse(CompletionRequest, body())
        return answer(asked, _Text(asked.model, asked.prompt if asked.echo else ""))

    def body() -> bytes:
        return request.get_data(cache=False, parse_form_data=False)

    def answer(asked: ChatCompletionRequest | CompletionRequest, shape: _Shape) -> Any:
        if asked.model not in described:
            return _unknown(asked.model, names)
        return _reply(asked, shape, model(asked.model), place, client())

    return blueprint


def _unknown(wanted: str, names: Sequence[str]) -> Any:
    there = " and ".join(names)
    return error(404, f"There is no model {wanted} here; there is {there}.", "model_not_found", "model"), 404


class _Shape:
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

    def choice(self, index: int, text: str, finish: str, calls: Sequence[Call] = ()) -> dict[str, Any]:
        raise NotImplementedError

    def called(self, index: int, calls: Sequence[Call]) -> dict[str, Any]:
        """What a stream says of tool calls, which come whole."""
        raise NotImplementedError

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def opening(self, index: int) -> dict[str, Any] | None:
        """What a stream says of a choice before its text."""
        raise NotImplementedError


class _Chat(_Shape):
    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, index: int, text: str, finish: str, calls: Sequence[Call] = ()) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if calls:
            message |= {"content": text or None, "tool_calls": [_shown(call) for call in calls]}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}

    def called(self, index: int, calls: Sequence[Call]) -> dict[str, Any]:
        numbered = [{"index": number, **_shown(call)} for number, call in enumerate(calls)]
        return {"index": index, "delta": {"tool_calls": numbered}, "finish_reason": None}

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}


class _Text(_Shape):
    kind, chunk_kind, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(self, name: str, echoed: str) -> None:
        super().__init__(name)
        self._echoed = echoed

    def choice(self, index: int, text: str, finish: str, calls: Sequence[Call] = ()) -> dict[str, Any]:  # noqa: ARG002
        return {"index": index, "text": self._echoed + text, "logprobs": None, "finish_reason": finish}

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return self.piece(index, self._echoed, None) if self._echoed else None


def _reply(
    asked: ChatCompletionRequest | CompletionRequest, shape: _Shape, model: Model, place: Place, gone: Gone
) -> Any:
    """All choices are begun at once; what engine there is, batches them or does one after the other."""
    with ExitStack() as stack:
        stack.enter_context(place())
        made = []
        for choice in range(asked.n):
            options = asked.options(choice)
            completion = model.complete(asked.asked(), options, asked.stops, tools=asked.shown, opening=asked.opening)
            stack.callback(completion.close)
            made.append(_Answer(completion, asked))
        if asked.stream:
            usage = bool(asked.stream_options and asked.stream_options.include_usage)
            events = _Events(_stream(made, shape, usage=usage), stack.pop_all())
            return Response(events, content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        choices = []
        for index, answer in enumerate(made):
            pieces = []
            for piece in answer:
                pieces.append(piece)
                if gone():
                    return error(499, "The client has hung up."), 499
            choices.append(shape.choice(index, "".join(pieces), answer.finish_reason, answer.calls))
        return shape.whole(choices, _usage(made))


class _Answer:
    """A completion's text, piece by piece, and afterwards the tool calls in it."""

    def __init__(self, completion: Completion, asked: ChatCompletionRequest | CompletionRequest) -> None:
        self.completion, self.calls = completion, list[Call]()
        self._listener = Listener(calling=bool(asked.opening)) if asked.shown else None

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


def _shown(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


class _Events:
    """A stream's body, which keeps its place until the server closes it, read to its end or not."""

    def __init__(self, events: Iterator[str], held: ExitStack) -> None:
        self._events, self._held = events, held

    def __iter__(self) -> Iterator[str]:
        return self._events

    def close(self) -> None:
        self._held.close()


def _stream(made: Sequence[_Answer], shape: _Shape, *, usage: bool) -> Iterator[str]:
    try:
        for index, answer in enumerate(made):
            if (opening := shape.opening(index)) is not None:
                yield _event(shape.chunk([opening]))
            for text in answer:
                if text:
                    yield _event(shape.chunk([shape.piece(index, text, None)]))
            if answer.calls:
                yield _event(shape.chunk([shape.called(index, answer.calls)]))
            yield _event(shape.chunk([shape.piece(index, "", answer.finish_reason)]))
        if usage:
            yield _event(shape.chunk([], _usage(made)))
    except Exception:  # noqa: BLE001 - the head is sent, so all that is left is to say it
        _log.exception("answer.failed")
        yield _event(error(500, FAILED))
        return
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _usage(made: Sequence[_Answer]) -> dict[str, int]:
    prompt, completed = made[0].completion.prompt_tokens, sum(answer.completion.tokens for answer in made)
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}
