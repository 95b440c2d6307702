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
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import structlog
from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from serving.chat import GenerateOptions, RequestError
from serving.pipeline import Completion, Gone
from serving.startup import Model
from serving.tools import OPENING, Call, Listener, call_schema

PREFIX: Final = "/v1/"
#: What is said of a failure that is the model's.
FAILED: Final = "The model failed while it answered. The server's log has the cause."
_TYPES: Final = {400: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_log = structlog.get_logger()
Place = Callable[[], AbstractContextManager[None]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class CalledFunction(_Strict):
    name: str
    arguments: str


class ToolCall(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def flat(self) -> dict[str, Any]:
        """As chat templates know it: with arguments that are no text."""
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except ValueError as error:
            raise RequestError(f"The arguments of tool call {self.id} are no JSON: {error}.") from error
        return {"type": "function", "function": {"name": self.function.name, "arguments": arguments}}


class Turn(_Strict):
    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["content"]}, {"required": ["tool_calls"]}]})

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None  # of the assistant
    tool_call_id: str | None = None  # of a tool: which call this is the result of
    refusal: None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError("incomplete", "There is neither content nor tool_calls")
        return self

    def flat(self) -> dict[str, Any]:
        """As chat templates know it."""
        parts = self.content or ""
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        calls = {"tool_calls": [call.flat() for call in self.tool_calls]} if self.tool_calls else {}
        return {"role": "system" if self.role == "developer" else self.role, "content": text, **calls}


class StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False  # of what the network shows: here it shows nothing


class JsonSchema(_Strict):
    """``strict`` says nothing here: an answer is held to its schema in any case."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field({"type": "object"}, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if (self.type == "json_schema") is (self.json_schema is None):
            raise PydanticCustomError("incomplete", "json_schema goes with type json_schema, and that with it")
        return self

    @property
    def asked(self) -> dict[str, Any] | None:
        if self.type == "text":
            return None
        return self.json_schema.schema_ if self.json_schema else {"type": "object"}


class Function(_Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Strict):
    type: Literal["function"]
    function: Function


class NamedFunction(_Strict):
    name: str


class ToolChoice(_Strict):
    type: Literal["function"]
    function: NamedFunction


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

    @property
    def schema_asked(self) -> dict[str, Any] | None:
        """What the answer is held to."""
        return None

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The tools that the model may call."""
        return []

    @property
    def opening(self) -> str:
        """How the answer has to begin."""
        return ""

    def options(self, choice: int) -> GenerateOptions:
        """For the choice of that number: of one seed no two are the same. Raises RequestError."""
        said = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
        seed = None if self.seed is None else (self.seed + choice) % 2**63
        named = {"max_new_tokens": self.most, "seed": seed, "json_schema": self.schema_asked, **said}
        try:
            return GenerateOptions(**{name: value for name, value in named.items() if value is not None})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
        what = "The schema" if problem["loc"] == ("json_schema",) else ".".join(map(str, problem["loc"]))
        raise RequestError(f"{what} cannot be used: {problem['msg'].removeprefix('Value error, ')}.")


class ChatCompletionRequest(_Request):
    messages: Annotated[list[Turn], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None  # how many calls come is the model's to decide; one, where one is required
    store: Literal[False] | None = None

    @model_validator(mode="after")
    def _tools_are_there(self) -> Self:
        names = [tool.function.name for tool in self.tools or ()]
        if isinstance(self.tool_choice, ToolChoice) and self.tool_choice.function.name not in names:
            said = f"tool_choice names {self.tool_choice.function.name}, and tools are {', '.join(names) or 'none'}"
            raise PydanticCustomError("incomplete", "{said}", {"said": said})
        if self.tool_choice == "required" and not names:
            raise PydanticCustomError("incomplete", "tool_choice is required, and there are no tools")
        if self.calls_for and self.response_format and self.response_format.asked is not None:
            raise PydanticCustomError("ambiguous", "An answer is a tool call or has a response_format, not both")
        strict = [tool.function.name for tool in self.tools or () if tool.function.strict]
        if strict and not self.calls_for and self.tool_choice != "none":
            said = f"{strict[0]} is strict, which is kept where tool_choice is required or names a function"
            raise PydanticCustomError("ambiguous", "{said}", {"said": said})
        return self

    @property
    def most(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def calls_for(self) -> list[Function]:
        """The functions one of which is to be called; none where the answer may be a text."""
        if isinstance(self.tool_choice, ToolChoice):
            return [it.function for it in self.tools or () if it.function.name == self.tool_choice.function.name]
        return [tool.function for tool in self.tools or ()] if self.tool_choice == "required" else []

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The tools, as chat templates know them."""
        tools = [] if self.tool_choice == "none" else self.tools or []
        return [tool.model_dump(exclude_none=True, exclude={"function": {"strict"}}) for tool in tools]

    @property
    def schema_asked(self) -> dict[str, Any] | None:
        if self.calls_for:
            return call_schema([(it.name, it.parameters or {}) for it in self.calls_for])
        return self.response_format.asked if self.response_format else None

    @property
    def opening(self) -> str:
        return OPENING if self.calls_for else ""

    def asked(self) -> list[dict[str, Any]]:
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
        return _reply(asked, shape, model(), place, client())

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
