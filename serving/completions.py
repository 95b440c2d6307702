"""What OpenAI's API asks for: chat completions and completions.

Names and shapes are OpenAI's. What a client sends and this server has not is refused by name; an option that is
silently ignored costs its user hours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from serving.chat import GenerateOptions, RequestError, Strict
from serving.tools import Dialect


class TextPart(Strict):
    type: Literal["text"]
    text: str


class CalledFunction(Strict):
    name: str
    arguments: str


class ToolCall(Strict):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def flat(self) -> dict[str, Any]:
        """As chat templates know it: with arguments that are no text."""
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except ValueError as error:
            raise RequestError(f"The arguments of tool call {self.id} are no JSON: {error}.") from error
        return {"id": self.id, "type": "function", "function": {"name": self.function.name, "arguments": arguments}}


class Turn(Strict):
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
        answered = {"tool_call_id": self.tool_call_id} if self.tool_call_id else {}
        return {"role": "system" if self.role == "developer" else self.role, "content": text, **calls, **answered}


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool = False  # of what the network shows: here it shows nothing


class JsonSchema(Strict):
    """``strict`` says nothing here: an answer is held to its schema in any case."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field({"type": "object"}, alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
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


class Function(Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Strict):
    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    name: str


class ToolChoice(Strict):
    type: Literal["function"]
    function: NamedFunction


_Stop = Annotated[list[str], Field(max_length=4)]


class _Request(Strict):
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

    def schema_asked(self, spoken: Dialect | None) -> dict[str, Any] | None:  # noqa: ARG002 - see ChatCompletionRequest
        """What the answer is held to, by a model that calls tools in the dialect ``spoken``."""
        return None

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The tools that the model may call."""
        return []

    @property
    def calls_for(self) -> Sequence[Function]:
        """The functions one of which is to be called; none where the answer may be a text."""
        return ()

    @property
    def likeliest(self) -> int | None:
        """How many of the likeliest tokens to tell of with each; None to tell nothing."""
        return None

    def options(self, choice: int, spoken: Dialect | None) -> GenerateOptions:
        """For the choice of that number: of one seed no two are the same. Raises RequestError."""
        said = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
        seed = None if self.seed is None else (self.seed + choice) % 2**63
        named = {"max_new_tokens": self.most, "seed": seed, "json_schema": self.schema_asked(spoken), **said}
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
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    parallel_tool_calls: bool | None = None  # how many calls come is the model's to decide; one, where one is required
    store: Literal[False] | None = None

    @model_validator(mode="after")
    def _logprobs_go_first(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise PydanticCustomError("incomplete", "top_logprobs goes with logprobs: true")
        return self

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
    def calls_for(self) -> Sequence[Function]:
        if isinstance(self.tool_choice, ToolChoice):
            return [it.function for it in self.tools or () if it.function.name == self.tool_choice.function.name]
        return [tool.function for tool in self.tools or ()] if self.tool_choice == "required" else []

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The tools, as chat templates know them."""
        tools = [] if self.tool_choice == "none" else self.tools or []
        return [tool.model_dump(exclude_none=True, exclude={"function": {"strict"}}) for tool in tools]

    def schema_asked(self, spoken: Dialect | None) -> dict[str, Any] | None:
        if self.calls_for and spoken:
            return spoken.schema([(it.name, it.parameters or {}) for it in self.calls_for])
        return self.response_format.asked if self.response_format else None

    @property
    def likeliest(self) -> int | None:
        return self.top_logprobs or 0 if self.logprobs else None

    def asked(self) -> list[dict[str, Any]]:
        return [turn.flat() for turn in self.messages]


class CompletionRequest(_Request):
    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: int | None = Field(16, ge=1)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def likeliest(self) -> int | None:
        return self.logprobs

    def asked(self) -> str:
        return self.prompt


_Asked = TypeVar("_Asked", bound=_Request)


def parse(kind: type[_Asked], body: bytes) -> _Asked:
    """Read a body, whatever its content type. Raises RequestError."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False)[0]
    where = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "extra_forbidden":
        raise RequestError(f"{where} is not known to this server. What it knows: {', '.join(kind.model_fields)}.")
    raise RequestError(f"{where + ': ' if where else ''}{problem['msg']}.")
