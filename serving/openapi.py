"""The OpenAPI document of the server: what it takes, as the models say that check it, and what it answers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from serving.chat import ChatRequest
from serving.completions import ChatCompletionRequest, CompletionRequest

Schema = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_JSON: Final = "application/json"


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_MODEL: Final = _object(id=_TEXT, object={"const": "model"}, created=_COUNT, owned_by=_TEXT)
_USAGE: Final = _object(prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT)
_CALL: Final = _object(id=_TEXT, type={"const": "function"}, function=_object(name=_TEXT, arguments=_TEXT))
_MESSAGE: Final = _object(role={"const": "assistant"}, content=_or_null(_TEXT), refusal={"type": "null"})
_MESSAGE["properties"]["tool_calls"] = _list(_CALL)
_FINISH: Final[Schema] = {"enum": ["stop", "length", "tool_calls"]}


_LOGPROB: Final[Schema] = {"type": "number", "maximum": 0}
_TOKEN: Final = _object(token=_TEXT, logprob=_LOGPROB, bytes=_list(_COUNT))
_CHAT_LOGPROBS: Final = _object(
    content=_list({"allOf": [_TOKEN, _object(top_logprobs=_list(_TOKEN))]}), refusal={"type": "null"}
)
_TEXT_LOGPROBS: Final = _object(
    tokens=_list(_TEXT),
    token_logprobs=_list(_LOGPROB),
    top_logprobs=_list({"type": "object", "additionalProperties": _LOGPROB}),
    text_offset=_list(_COUNT),
)


def _completion(kind: str, logprobs: Schema, **choice: Schema) -> Schema:
    choices = _list(_object(index=_COUNT, logprobs=_or_null(logprobs), finish_reason=_FINISH, **choice))
    return _object(id=_TEXT, object={"const": kind}, created=_COUNT, model=_TEXT, choices=choices, usage=_USAGE)


_ANSWERS: Final = {
    "Running": _object(message=_TEXT),
    "Health": _object(status=_TEXT),
    "Startup": _object(stages=_list(_object(name=_TEXT, seconds={"type": "number", "minimum": 0}))),
    "ChatAnswer": _object(Result=_TEXT),
    "Error": _object(error=_TEXT),
    "Model": _MODEL,
    "Models": _object(object={"const": "list"}, data=_list(_MODEL)),
    "ChatCompletion": _completion("chat.completion", _CHAT_LOGPROBS, message=_MESSAGE),
    "Completion": _completion("text_completion", _TEXT_LOGPROBS, text=_TEXT),
    "OpenAIError": _object(
        error=_object(message=_TEXT, type=_TEXT, param=_or_null(_TEXT), code=_or_null(_TEXT)),
    ),
}


@cache
def document(*names: str) -> Schema:
    """For ``GET /openapi.json``; ``names``: those of the models that are served."""
    taken = {kind.__name__: kind for kind in (ChatRequest, ChatCompletionRequest, CompletionRequest)}
    schemas: dict[str, Schema] = dict(_ANSWERS)
    for name, kind in taken.items():
        schema = kind.model_json_schema(ref_template=_SCHEMAS + "{model}")
        schemas |= schema.pop("$defs", {})
        if "model" in schema["properties"]:
            schema["properties"]["model"] = {"enum": list(names)}
        schemas[name] = schema
    return {
        "openapi": "3.1.0",
        "info": {"title": "KAITO inference server", "version": "1"},
        "paths": {
            "/": {"get": _get("Is the server there?", "Running")},
            "/health": {"get": _get("Has the model answered once?", "Health", failing="Health")},
            "/healthz": {"get": _get("The same, by its older name.", "Health", failing="Health")},
            "/ui": {"get": _answering("A page to chat with the model.", {"200": _described("text/html", _TEXT)})},
            "/metrics": {"get": _answering("Figures for Prometheus.", {"200": _described("text/plain", _TEXT)})},
            "/startup": {"get": _get("How long each stage of the start took.", "Startup", waiting="Error")},
            "/chat": {"post": _post("Answer a prompt or messages.", ChatRequest, "ChatAnswer", "Error")},
            "/v1/models": {"get": _get("The models that are served.", "Models")},
            "/v1/models/{model}": {"get": _get("The model of that name.", "Model", parameters=("model",))},
            "/v1/chat/completions": {
                "post": _post("Answer messages.", ChatCompletionRequest, "ChatCompletion", "OpenAIError", streams=True)
            },
            "/v1/completions": {
                "post": _post("Continue a text.", CompletionRequest, "Completion", "OpenAIError", streams=True)
            },
        },
        "components": {"schemas": schemas},
    }


def _answering(summary: str, responses: Schema, **more: Any) -> Schema:
    return {"summary": summary, "responses": responses, **more}


def _described(kind: str, schema: Schema, said: str = "Well.") -> Schema:
    return {"description": said, "content": {kind: {"schema": schema}}}


def _named(name: str, said: str = "Well.") -> Schema:
    return _described(_JSON, {"$ref": _SCHEMAS + name}, said)


def _get(
    summary: str, answer: str, *, failing: str = "", waiting: str = "", parameters: tuple[str, ...] = ()
) -> Schema:
    responses = {"200": _named(answer)}
    if failing:
        responses["500"] = _named(failing, "Not yet; the body says why.")
    if waiting:
        responses["503"] = _named(waiting, "The model is being loaded.")
    if not parameters:
        return _answering(summary, responses)
    responses["404"] = _named("OpenAIError", "There is none.")
    needed = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in parameters]
    return _answering(summary, responses, parameters=needed)


def _post(summary: str, takes: type[BaseModel], answer: str, error: str, *, streams: bool = False) -> Schema:
    well = _named(answer)
    if streams:
        well["content"]["text/event-stream"] = {}
    responses = {
        "200": well,
        "400": _named(error, "It cannot be answered as it is; the body says what to send instead."),
        "404": _named(error, "There is no such model."),
        "413": _named(error, "The body is too large."),
        "429": _named(error, "Too many wait; Retry-After says when to come again."),
        "503": _named(error, "The model is being loaded."),
    }
    if not streams:
        del responses["404"]
    body = {"required": True, "content": {_JSON: {"schema": {"$ref": _SCHEMAS + takes.__name__}}}}
    return _answering(summary, responses, requestBody=body)
