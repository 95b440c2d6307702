"""OpenAI's API over a model that is quick to answer; its real client is in tests/integration/serving."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient

from serving.app import MAX_WAITING, create_app
from serving.chat import GenerateOptions
from serving.engine import Token
from serving.logprobs import Logprobs
from serving.pipeline import Completion
from serving.tools import HERMES, Dialect

HELLO = {"model": "phi", "messages": [{"role": "user", "content": "Hello"}]}
END = ord("$")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
STRICT = {"type": "function", "function": {"name": "weather", "parameters": CITY, "strict": True}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
BROKEN = {"name": "weather", "arguments": "Rome"}
SAYS_CALL = 'I look. <tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>$'


class Tokens:
    """Letters; ``closed`` tells that nobody reads on."""

    def __init__(self, text: str) -> None:
        self._letters, self.closed = iter(text), False

    def __iter__(self) -> Iterator[Token]:
        for letter in self._letters:
            if letter == "!":
                raise RuntimeError("out of memory")
            yield Token(ord(letter), -0.5, ((ord("?"), -1.5),))

    def close(self) -> None:
        self.closed = True


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids)).removesuffix("$")


class Speaker:
    """Says the same to everybody, and keeps what it was asked."""

    dialect: Dialect | None = HERMES

    def __init__(self, says: str) -> None:
        self.says = says
        self.asked: list[tuple[Any, GenerateOptions]] = []
        self.shown: list[tuple[list[dict[str, Any]], str]] = []
        self.made: list[Tokens] = []

    def answer(self, *_: object) -> NoReturn:
        raise AssertionError("test_app.py has the tests of /chat")

    def complete(
        self,
        asked: Any,
        options: GenerateOptions,
        stop: Sequence[str],
        *,
        tools: Sequence[dict[str, Any]],
        opening: str,
        likeliest: int | None,
    ) -> Completion:
        self.asked.append((asked, options))
        self.shown.append((list(tools), opening))
        most = options.max_new_tokens or 100
        self.made.append(Tokens(self.says[:most]))
        logprobs = None if likeliest is None else Logprobs(lambda token: chr(token).encode())
        return Completion(self.made[-1], decode, 3, most, END, stop, logprobs)


def client(speaker: Speaker) -> FlaskClient:
    return create_app(lambda _: speaker, ["phi"]).test_client()


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_the_model_is_listed() -> None:
    model = client(Speaker("")).get("/v1/models").get_json()["data"][0]
    assert (model["id"], model["object"]) == ("phi", "model")
    assert client(Speaker("")).get("/v1/models/phi").get_json()["id"] == "phi"
    assert client(Speaker("")).get("/v1/models/other").status_code == 404


def test_messages_are_answered_with_what_it_cost() -> None:
    speaker = Speaker("Hi there$")
    answer = client(speaker).post("/v1/chat/completions", json=HELLO).get_json()
    assert answer["object"] == "chat.completion"
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hi there", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    assert speaker.asked[0][0] == [{"role": "user", "content": "Hello"}]


def test_options_are_what_was_named() -> None:
    speaker = Speaker("Hi there$")
    named = {"max_completion_tokens": 2, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": "x", "n": 2}
    answer = client(speaker).post("/v1/chat/completions", json=HELLO | named).get_json()
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["length", "length"]
    assert answer["usage"]["completion_tokens"] == 4
    options = [options.model_dump(exclude_unset=True) for _, options in speaker.asked]
    assert options == [{"max_new_tokens": 2, "seed": seed, "temperature": 0.5, "top_p": 0.9} for seed in (7, 8)]


def test_it_stops_where_it_is_told_to_and_makes_no_more() -> None:
    speaker = Speaker("one. two. three.")
    answer = client(speaker).post("/v1/chat/completions", json=HELLO | {"stop": [" two", "xx"]}).get_json()
    assert answer["choices"][0]["message"]["content"] == "one."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert speaker.made[0].closed


def test_a_stream_has_a_piece_a_token_and_ends() -> None:
    asked = HELLO | {"stream": True, "stream_options": {"include_usage": True}}
    answer = client(Speaker("Hi$")).post("/v1/chat/completions", json=asked)
    assert answer.content_type.startswith("text/event-stream")
    *chunks, usage, done = events(answer.text)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "H"},
        {"content": "i"},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)
    assert done == "[DONE]"


def test_a_stream_that_fails_says_so() -> None:
    answer = client(Speaker("Hi!")).post("/v1/chat/completions", json=HELLO | {"stream": True})
    assert "The model failed" in events(answer.text)[-1]["error"]["message"]


def test_a_stream_that_nobody_reads_ends_the_generation_and_frees_its_place() -> None:
    speaker = Speaker("a long story")
    app = client(speaker)
    for _ in range(MAX_WAITING + 1):
        answer = app.post("/v1/chat/completions", json=HELLO | {"stream": True}, buffered=False)
        assert answer.status_code == 200
        answer.close()
    assert all(tokens.closed for tokens in speaker.made)


def test_a_text_is_continued() -> None:
    speaker = Speaker(" upon a time there was$")
    answer = client(speaker).post("/v1/completions", json={"model": "phi", "prompt": "Once", "echo": True}).get_json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == "Once upon a time the"
    assert answer["choices"][0]["finish_reason"] == "length", "16 tokens where nothing is said"
    streamed = client(speaker).post("/v1/completions", json={"model": "phi", "prompt": "Once", "stream": True}).text
    assert "".join(chunk["choices"][0]["text"] for chunk in events(streamed)[:-1]) == " upon a time the"


@pytest.mark.parametrize(
    ("path", "asked", "status", "said"),
    [
        ("chat/completions", HELLO | {"model": "gpt"}, 404, "There is no model gpt here; there is phi."),
        (
            "chat/completions",
            HELLO | {"functions": []},
            400,
            "functions is not known to this server. What it knows: model,",
        ),
        ("chat/completions", HELLO | {"temperature": 3}, 400, "temperature: Input should be less than or equal to 2."),
        ("chat/completions", {"model": "phi", "messages": []}, 400, "messages: List should have at least 1 item"),
        ("chat/completions", "no JSON", 400, "Input should be an object."),
        ("completions", {"model": "phi"}, 400, "prompt: Field required."),
        (
            "chat/completions",
            HELLO | {"tool_choice": "required"},
            400,
            "tool_choice is required, and there are no tools",
        ),
        ("chat/completions", HELLO | {"tools": [STRICT]}, 400, "weather is strict, which is kept where tool_choice is"),
        (
            "chat/completions",
            HELLO | {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "news"}}},
            400,
            "tool_choice names news, and tools are weather",
        ),
        ("chat/completions", HELLO | {"response_format": {"type": "json_schema"}}, 400, "json_schema goes with type"),
        (
            "chat/completions",
            HELLO | {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}},
            400,
            'The schema cannot be used: #/not is not supported here; say its "type".',
        ),
        ("chat/completions", {"model": "phi", "messages": [{"role": "user"}]}, 400, "neither content nor tool_calls"),
        (
            "chat/completions",
            {"model": "phi", "messages": [{"role": "assistant", "tool_calls": [CALL | {"function": BROKEN}]}]},
            400,
            "The arguments of tool call call_1 are no JSON",
        ),
        ("embeddings", {}, 404, "There is no /v1/embeddings here. Send POST /chat, /v1/chat/completions"),
    ],
)
def test_what_cannot_be_is_refused_in_openais_words(path: str, asked: Any, status: int, said: str) -> None:
    answer = client(Speaker("Hi")).post(f"/v1/{path}", json=asked)
    assert answer.status_code == status
    problem = answer.get_json()["error"]
    assert said in problem["message"]
    assert problem["type"] == "invalid_request_error"


def test_a_call_in_an_answer_is_taken_out_of_its_text() -> None:
    speaker = Speaker(SAYS_CALL)
    answer = client(speaker).post("/v1/chat/completions", json=HELLO | {"tools": [WEATHER]}).get_json()
    (choice,) = answer["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "I look. ")
    (call,) = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert speaker.shown == [([WEATHER], "")]


def test_a_stream_has_the_text_first_and_then_the_calls() -> None:
    asked = HELLO | {"tools": [WEATHER], "stream": True}
    *chunks, _done = events(client(Speaker(SAYS_CALL)).post("/v1/chat/completions", json=asked).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "I look. "
    (calls,) = (delta["tool_calls"] for delta in deltas if "tool_calls" in delta)
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "weather")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_where_a_call_is_asked_for_the_answer_begins_as_one_and_is_held_to_it() -> None:
    speaker = Speaker('{"name": "weather", "arguments": {"city": "Rome"}}$')
    chosen = {"type": "function", "function": {"name": "weather"}}
    asked = HELLO | {"tools": [STRICT], "tool_choice": chosen}
    (choice,) = client(speaker).post("/v1/chat/completions", json=asked).get_json()["choices"]
    assert choice["message"]["content"] is None
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["weather"]
    ((_, options),) = speaker.asked
    assert options.json_schema is not None
    assert options.json_schema["properties"]["arguments"] == CITY
    assert speaker.shown == [([WEATHER], "<tool_call>\n")], "strict is no word of templates"


def test_results_of_calls_are_told_as_templates_know_them() -> None:
    speaker = Speaker("Sunny.$")
    talk = [
        {"role": "user", "content": "How is it in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "22 degrees"},
    ]
    client(speaker).post("/v1/chat/completions", json={"model": "phi", "messages": talk, "tools": [WEATHER]})
    ((asked, _),) = speaker.asked
    assert asked[1]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    ]
    assert asked[2] == {"role": "tool", "content": "22 degrees", "tool_call_id": "call_1"}


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "city", "schema": CITY, "strict": True}}, CITY),
    ],
)
def test_an_answer_is_held_to_its_format(wanted: Any, schema: Any) -> None:
    speaker = Speaker("{}$")
    assert client(speaker).post("/v1/chat/completions", json=HELLO | {"response_format": wanted}).status_code == 200
    assert speaker.asked[0][1].json_schema == schema
