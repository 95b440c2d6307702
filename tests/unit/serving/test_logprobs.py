"""What is told of tokens, whole and in a stream; real numbers are in tests/integration/serving/test_openai.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.serving.test_openai import HELLO, Speaker, client, events

TEXT = {"model": "phi", "prompt": "Once"}


def entry(letter: str, logprob: float) -> dict[str, Any]:
    return {"token": letter, "logprob": logprob, "bytes": [ord(letter)]}


def told(letter: str) -> dict[str, Any]:
    return {**entry(letter, -0.5), "top_logprobs": [entry("?", -1.5)]}


def test_each_token_of_an_answer_is_told_of() -> None:
    asked = HELLO | {"logprobs": True, "top_logprobs": 1}
    (choice,) = client(Speaker("Hi$")).post("/v1/chat/completions", json=asked).get_json()["choices"]
    assert choice["logprobs"] == {"content": [told("H"), told("i")], "refusal": None}
    (choice,) = client(Speaker("Hi$")).post("/v1/chat/completions", json=HELLO).get_json()["choices"]
    assert choice["logprobs"] is None


def test_a_piece_of_a_stream_has_its_own() -> None:
    asked = HELLO | {"logprobs": True, "stream": True, "stop": "low"}
    chunks = events(client(Speaker("slow lol$")).post("/v1/chat/completions", json=asked).text)[:-1]
    pieces = [chunk["choices"][0] for chunk in chunks]
    said = [(piece["delta"]["content"], piece["logprobs"]["content"]) for piece in pieces if piece.get("logprobs")]
    assert said == [("s", [told("s")])], "and what a stop word has cut off is not told of"


def test_what_was_held_back_for_a_while_is_told_with_the_text() -> None:
    asked = HELLO | {"logprobs": True, "stream": True, "stop": "lot"}
    chunks = events(client(Speaker("slow$")).post("/v1/chat/completions", json=asked).text)[:-1]
    pieces = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["delta"].get("content")]
    said = [(it["delta"]["content"], "".join(told["token"] for told in it["logprobs"]["content"])) for it in pieces]
    assert said == [("s", "s"), ("low", "low")]


def test_a_text_says_where_each_begins() -> None:
    (choice,) = (
        client(Speaker(" me$")).post("/v1/completions", json=TEXT | {"logprobs": 1, "echo": True}).get_json()["choices"]
    )
    assert choice["text"] == "Once me"
    assert choice["logprobs"] == {
        "tokens": [" ", "m", "e"],
        "token_logprobs": [-0.5, -0.5, -0.5],
        "top_logprobs": [{"?": -1.5}] * 3,
        "text_offset": [4, 5, 6],
    }


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("chat/completions", HELLO | {"top_logprobs": 2}, "top_logprobs goes with logprobs: true"),
        ("chat/completions", HELLO | {"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ("completions", TEXT | {"logprobs": 6}, "less than or equal to 5"),
    ],
)
def test_what_cannot_be_is_refused(path: str, asked: dict[str, Any], said: str) -> None:
    answer = client(Speaker("Hi$")).post(f"/v1/{path}", json=asked)
    assert answer.status_code == 400
    assert said in answer.get_json()["error"]["message"]
