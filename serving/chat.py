"""What POST /chat takes, and what is wrong with a request that it cannot take.

Fields, names and defaults are those of the reference operator's server, so that its clients work
unchanged. Unlike there, a name that is not known is refused: a misspelt option that is silently ignored
costs its user hours.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from serving.schema import grammatical

EXAMPLE: Final = '{"prompt": "What is the capital of France?"}'
# Naming one of these asks for sampling; do_sample need not be named too.
SAMPLING: Final = frozenset({"temperature", "top_k", "top_p", "typical_p", "min_p"})

_Share = Annotated[float, Field(gt=0, le=1)]


class RequestError(Exception):
    """The request cannot be answered as it is; the message is a sentence that says what to send instead."""


EXAMPLES = {
    "messages": '{"messages": [{"role": "user", "content": "What is the capital of France?"}]}',
    "generate_kwargs": '{"prompt": "What is the capital of France?", "generate_kwargs": {"max_new_tokens": 50}}',
}


class Strict(BaseModel):
    """Unknown names, and values of another type, are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class GenerateOptions(Strict):
    """How the answer's tokens are chosen. Lengths are in tokens; ``max_length`` counts the prompt too."""

    max_length: int = Field(200, ge=1)
    min_length: int = Field(0, ge=0)
    do_sample: bool = True
    early_stopping: bool = False
    num_beams: int = Field(1, ge=1, le=16)
    temperature: float = Field(1.0, ge=0)  # 0: the likeliest token each time
    top_k: int = Field(10, ge=0)  # 0: all tokens
    top_p: _Share = 1.0
    typical_p: _Share = 1.0
    repetition_penalty: float = Field(1.0, gt=0)
    # Beyond the reference's ten.
    max_new_tokens: int | None = Field(None, ge=1)
    min_new_tokens: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = Field(0, ge=0)
    seed: int | None = Field(None, ge=0, lt=2**63)  # of what is sampled
    json_schema: dict[str, Any] | None = None  # what the answer is: JSON of that schema

    @field_validator("json_schema")
    @classmethod
    def _grammatical(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        return schema if schema is None else grammatical(schema)

    @model_validator(mode="after")
    def _one_beam(self) -> Self:
        if self.json_schema is not None and self.num_beams > 1:
            raise PydanticCustomError("ambiguous", "json_schema and several beams do not go together")
        return self

    @property
    def grammar(self) -> str:
        """The schema as JSON, where there is one."""
        return json.dumps(self.json_schema, ensure_ascii=False)

    def over(self, defaults: GenerateOptions) -> GenerateOptions:
        """These options, where one was named; the model's own ``defaults`` elsewhere."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        if SAMPLING & named.keys() and self.temperature > 0:
            named.setdefault("do_sample", True)
        return defaults.model_copy(update=named)

    @property
    def samples(self) -> bool:
        return self.do_sample and self.temperature > 0


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Strict):
    """The body of POST /chat: a prompt or messages."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}]})

    prompt: str | None = Field(None, min_length=1)
    messages: list[Message] | None = Field(None, min_length=1)
    return_full_text: bool = True
    clean_up_tokenization_spaces: bool = False
    prefix: str | None = None
    handle_long_generation: Literal["hole"] | None = None
    generate_kwargs: GenerateOptions = GenerateOptions()

    @model_validator(mode="after")
    def _prompt_or_messages(self) -> Self:
        if self.prompt is None and self.messages is None:
            raise PydanticCustomError("incomplete", "Neither prompt nor messages is there")
        if self.prompt is not None and self.messages is not None:
            raise PydanticCustomError("ambiguous", "Both prompt and messages are there, and only one can be answered")
        if self.prefix and self.messages is not None:
            raise PydanticCustomError("ambiguous", "prefix goes before a prompt, and there are messages")
        return self


def parse(body: bytes) -> ChatRequest:
    """Read a body, whatever its content type: plain ``curl -d`` names a form's. Raises RequestError."""
    if not body.strip():
        raise RequestError(f"The body is empty. Send JSON such as {EXAMPLE}.")
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    raise RequestError(_sentence(problem))


def _sentence(problem: ErrorDetails) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"]).lstrip(".")
    match problem["type"]:
        case "json_invalid":
            return f"The body is not JSON ({problem['msg'].removeprefix('Invalid JSON: ')}). Send {EXAMPLE}."
        case "extra_forbidden":
            model = GenerateOptions if where.startswith("generate_kwargs.") else ChatRequest
            known = ", ".join(Message.model_fields if where.startswith("messages") else model.model_fields)
            hint = f" Did you mean generate_kwargs.{where}?" if where in GenerateOptions.model_fields else ""
            return f"{where} is not known.{hint} What there is: {known}."
        case _:
            example = next((text for field, text in EXAMPLES.items() if where.startswith(field)), EXAMPLE)
            return f"{where + ': ' if where else ''}{problem['msg']}. Send JSON such as {example}."
