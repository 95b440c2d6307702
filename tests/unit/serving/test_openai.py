"""OpenAI's API over a model that is quick to answer; its real client is in tests/integration/serving."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient

from serving.app import MAX_WAITING, create_app
from serving.chat import GenerateOptions
from serving.pipeline import Completion

HELLO = {"model": "phi", "messages": [{"role": "user", "content": "Hello"}]}
END = ord("$")


class Tokens:
    """Letters; ``closed`` tells that nobody reads on."""

    def __init__(self, text: str) -> None:
        self._letters, self.closed = iter(text), False

    def __iter__(self) -> Iterator[int]:
        for letter in self._letters:
            if letter == "!":
                raise RuntimeError("out of memory")
            yield ord(letter)

    def close(self) -> None:
        self.closed = True


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids)).removesuffix("$")


class Speaker:
    """Says the same to everybody, and keeps what it was asked."""

    def __init__(self, says: str) -> None:
        self.says = says
        self.asked: list[tuple[Any, GenerateOptions]] = []
        self.made: list[Tokens] = []

    def answer(self, *_: object) -> NoReturn:
        raise AssertionError("test_app.py has the tests of /chat")

    def complete(self, asked: Any, options: GenerateOptions, stop: Sequence[str]) -> Completion:
        self.asked.append((asked, options))
        most = options.max_new_tokens or 100
        self.made.append(Tokens(self.says[:most]))
        return Completion(self.made[-1], decode, 3, most, END, stop)


def client(speaker: Speaker) -> FlaskClient:
    return create_app(lambda: speaker, "phi").test_client()


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
        ("chat/completions", HELLO | {"tools": []}, 400, "tools is not known to this server. What it knows: model,"),
        ("chat/completions", HELLO | {"temperature": 3}, 400, "temperature: Input should be less than or equal to 2."),
        ("chat/completions", {"model": "phi", "messages": []}, 400, "messages: List should have at least 1 item"),
        ("chat/completions", "no JSON", 400, "Input should be an object."),
        ("completions", {"model": "phi"}, 400, "prompt: Field required."),
        ("embeddings", {}, 404, "There is no /v1/embeddings here. Send POST /chat, /v1/chat/completions"),
    ],
)
def test_what_cannot_be_is_refused_in_openais_words(path: str, asked: Any, status: int, said: str) -> None:
    answer = client(Speaker("Hi")).post(f"/v1/{path}", json=asked)
    assert answer.status_code == status
    problem = answer.get_json()["error"]
    assert said in problem["message"]
    assert problem["type"] == "invalid_request_error"
