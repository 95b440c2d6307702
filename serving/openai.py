"""OpenAI's API: its models, chat completions and completions, whole or as a stream of server-sent events.

Names and shapes are OpenAI's, so that its client works unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import structlog
from flask import Blueprint, Response, request

from serving.answers import Answer, ChatShape, Shape, TextShape, usage
from serving.completions import ChatCompletionRequest, CompletionRequest, parse
from serving.pipeline import Gone
from serving.startup import Model

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
        return answer(asked, ChatShape(asked.model))

    @blueprint.post("/completions")
    def complete() -> Any:
        asked = parse(CompletionRequest, body())
        return answer(asked, TextShape(asked.model, asked.prompt if asked.echo else ""))

    def body() -> bytes:
        return request.get_data(cache=False, parse_form_data=False)

    def answer(asked: ChatCompletionRequest | CompletionRequest, shape: Shape) -> Any:
        if asked.model not in described:
            return _unknown(asked.model, names)
        return _reply(asked, shape, model(asked.model), place, client())

    return blueprint


def _unknown(wanted: str, names: Sequence[str]) -> Any:
    there = " and ".join(names)
    return error(404, f"There is no model {wanted} here; there is {there}.", "model_not_found", "model"), 404


def _reply(
    asked: ChatCompletionRequest | CompletionRequest, shape: Shape, model: Model, place: Place, gone: Gone
) -> Any:
    """All choices are begun at once; what engine there is, batches them or does one after the other."""
    with ExitStack() as stack:
        stack.enter_context(place())
        made, spoken = [], model.dialect
        for choice in range(asked.n):
            options = asked.options(choice, spoken)
            completion = model.complete(
                asked.asked(),
                options,
                asked.stops,
                tools=asked.shown,
                opening=spoken.opening if spoken and asked.calls_for else "",
                likeliest=asked.likeliest,
            )
            stack.callback(completion.close)
            made.append(Answer(completion, asked, spoken))
        if asked.stream:
            count = bool(asked.stream_options and asked.stream_options.include_usage)
            events = _Events(_stream(made, shape, count=count), stack.pop_all())
            return Response(events, content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        choices = []
        for index, answer in enumerate(made):
            pieces = []
            for piece in answer:
                pieces.append(piece)
                if gone():
                    return error(499, "The client has hung up."), 499
            choices.append(shape.choice(index, "".join(pieces), answer))
        return shape.whole(choices, usage(made))


class _Events:
    """A stream's body, which keeps its place until the server closes it, read to its end or not."""

    def __init__(self, events: Iterator[str], held: ExitStack) -> None:
        self._events, self._held = events, held

    def __iter__(self) -> Iterator[str]:
        return self._events

    def close(self) -> None:
        self._held.close()


def _stream(made: Sequence[Answer], shape: Shape, *, count: bool) -> Iterator[str]:
    try:
        for index, answer in enumerate(made):
            if (opening := shape.opening(index)) is not None:
                yield _event(shape.chunk([opening]))
            for text in answer:
                if text:
                    yield _event(shape.chunk([shape.piece(index, text, answer.completion.told())]))
            if answer.calls:
                yield _event(shape.chunk([shape.called(index, answer.calls)]))
            yield _event(shape.chunk([shape.end(index, answer.finish_reason)]))
        if count:
            yield _event(shape.chunk([], usage(made)))
    except Exception:  # noqa: BLE001 - the head is sent, so all that is left is to say it
        _log.exception("answer.failed")
        yield _event(error(500, FAILED))
        return
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"
