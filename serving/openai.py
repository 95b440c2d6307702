"""OpenAI's API: its models, chat completions and completions, whole or as a stream of server-sent events.

Names and shapes are OpenAI's, so that its client works unchanged. What a client sends and this server has not is
refused by name; an option that is silently ignored costs its user hours.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Annotated, Any, Final, Literal, TypeVar

import structlog
from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.chat import GenerateOptions, RequestError
from serving.pipeline import Completion, Gone
from serving.startup import Model

PREFIX: Final = "/v1/"
#: What is said of a failure that is the model's.
FAILED: Final = "The model failed while it answered. The server's log has the cause."
_TYPES: Final = {400: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_log = structlog.get_logger()
Place = Callable[[], AbstractContextManager[None]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class Turn(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def flat(self) -> dict[str, str]:
        """As chat templates know it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False  # of what the network shows: here it shows nothing


class ResponseFormat(_Strict):
    type: Literal["text"]


_Stop = Annotated[list[str], Field(max_length=4)]


class _Request(_Strict):
    """What both kinds of completion take. ``user`` and ``metadata`` are a client's own notes."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int = Field(1, ge=1, le=8)
    stop: str | _Stop | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    # Not of OpenAI, but of those who serve models by its API.
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0)
    user: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def stops(self) -> Sequence[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def most(self) -> int | None:
        return self.max_tokens

    def options(self, choice: int) -> GenerateOptions:
        """For the choice of that number: of one seed no two are the same."""
        said = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
        seed = None if self.seed is None else (self.seed + choice) % 2**63
        named = {"max_new_tokens": self.most, "seed": seed, **said}
        return GenerateOptions(**{name: value for name, value in named.items() if value is not None})


class ChatCompletionRequest(_Request):
    messages: Annotated[list[Turn], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    store: Literal[False] | None = None

    @property
    def most(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def asked(self) -> list[dict[str, str]]:
        return [turn.flat() for turn in self.messages]


class CompletionRequest(_Request):
    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: int | None = Field(16, ge=1)
    echo: bool = False

    def asked(self) -> str:
        return self.prompt


def error(status: int, sentence: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The body of what went wrong."""
    return {
        "error": {"message": sentence, "type": _TYPES.get(status, "server_error"), "param": param, "code": code},
    }


def routes(model: Callable[[], Model], name: str, place: Place, client: Callable[[], Gone]) -> Blueprint:
    """All under ``/v1``. ``place`` holds a request's place; ``client`` makes what tells whether it has hung up."""
    blueprint = Blueprint("openai", __name__, url_prefix="/v1")
    began = int(time.time())
    described = {"id": name, "object": "model", "created": began, "owned_by": "kaito"}

    @blueprint.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [described]}

    @blueprint.get("/models/<path:wanted>")
    def one(wanted: str) -> Any:
        return described if wanted == name else _unknown(wanted, name)

    @blueprint.post("/chat/completions")
    def chat() -> Any:
        return answer(_parse(ChatCompletionRequest), _Chat(name))

    @blueprint.post("/completions")
    def complete() -> Any:
        asked = _parse(CompletionRequest)
        return answer(asked, _Text(name, asked.prompt if asked.echo else ""))

    def answer(asked: ChatCompletionRequest | CompletionRequest, shape: _Shape) -> Any:
        if asked.model != name:
            return _unknown(asked.model, name)
        return _answer(asked, shape, model(), place, client())

    return blueprint


def _unknown(wanted: str, name: str) -> Any:
    return error(404, f"There is no model {wanted} here; there is {name}.", "model_not_found", "model"), 404


_Asked = TypeVar("_Asked", bound=_Request)


def _parse(kind: type[_Asked]) -> _Asked:
    try:
        return kind.model_validate_json(request.get_data(cache=False, parse_form_data=False))
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False)[0]
    where = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "extra_forbidden":
        raise RequestError(f"{where} is not known to this server. What it knows: {', '.join(kind.model_fields)}.")
    raise RequestError(f"{where + ': ' if where else ''}{problem['msg']}.")


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

    def choice(self, index: int, text: str, finish: str) -> dict[str, Any]:
        raise NotImplementedError

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def opening(self, index: int) -> dict[str, Any] | None:
        """What a stream says of a choice before its text."""
        raise NotImplementedError


class _Chat(_Shape):
    kind, chunk_kind, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def choice(self, index: int, text: str, finish: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}


class _Text(_Shape):
    kind, chunk_kind, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(self, name: str, echoed: str) -> None:
        super().__init__(name)
        self._echoed = echoed

    def choice(self, index: int, text: str, finish: str) -> dict[str, Any]:
        return {"index": index, "text": self._echoed + text, "logprobs": None, "finish_reason": finish}

    def piece(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    def opening(self, index: int) -> dict[str, Any] | None:
        return self.piece(index, self._echoed, None) if self._echoed else None


def _answer(
    asked: ChatCompletionRequest | CompletionRequest, shape: _Shape, model: Model, place: Place, gone: Gone
) -> Any:
    """All choices are begun at once; what engine there is, batches them or does one after the other."""
    with ExitStack() as stack:
        stack.enter_context(place())
        made = [model.complete(asked.asked(), asked.options(choice), asked.stops) for choice in range(asked.n)]
        for completion in made:
            stack.callback(completion.close)
        if asked.stream:
            usage = bool(asked.stream_options and asked.stream_options.include_usage)
            events = _Events(_stream(made, shape, usage=usage), stack.pop_all())
            return Response(events, content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        choices = []
        for index, completion in enumerate(made):
            pieces = []
            for piece in completion:
                pieces.append(piece)
                if gone():
                    return error(499, "The client has hung up."), 499
            choices.append(shape.choice(index, "".join(pieces), completion.finish_reason))
        return shape.whole(choices, _usage(made))


class _Events:
    """A stream's body, which keeps its place until the server closes it, read to its end or not."""

    def __init__(self, events: Iterator[str], held: ExitStack) -> None:
        self._events, self._held = events, held

    def __iter__(self) -> Iterator[str]:
        return self._events

    def close(self) -> None:
        self._held.close()


def _stream(made: Sequence[Completion], shape: _Shape, *, usage: bool) -> Iterator[str]:
    try:
        for index, completion in enumerate(made):
            if (opening := shape.opening(index)) is not None:
                yield _event(shape.chunk([opening]))
            for text in completion:
                if text:
                    yield _event(shape.chunk([shape.piece(index, text, None)]))
            yield _event(shape.chunk([shape.piece(index, "", completion.finish_reason)]))
        if usage:
            yield _event(shape.chunk([], _usage(made)))
    except Exception:  # noqa: BLE001 - the head is sent, so all that is left is to say it
        _log.exception("answer.failed")
        yield _event(error(500, FAILED))
        return
    yield "data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _usage(made: Sequence[Completion]) -> dict[str, int]:
    prompt, completed = made[0].prompt_tokens, sum(completion.tokens for completion in made)
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}
