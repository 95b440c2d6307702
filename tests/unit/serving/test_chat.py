"""Every request is either read whole or refused with a sentence that says what to send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.chat import ChatRequest, GenerateOptions, RequestError, parse


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_the_reference_defaults_hold() -> None:
    asked = parse(body(prompt="Hello"))
    assert (asked.return_full_text, asked.clean_up_tokenization_spaces) == (True, False)
    assert (asked.prefix, asked.handle_long_generation) == (None, None)
    reference = {
        "max_length": 200,
        "min_length": 0,
        "do_sample": True,
        "early_stopping": False,
        "num_beams": 1,
        "temperature": 1.0,
        "top_k": 10,
        "top_p": 1.0,
        "typical_p": 1.0,
        "repetition_penalty": 1.0,
    }
    assert reference.items() <= asked.generate_kwargs.model_dump().items()


def test_messages_are_read() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    asked = parse(body(messages=turns))
    assert asked.messages is not None
    assert [turn.model_dump() for turn in asked.messages] == turns


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "The body is empty"),
        (b"  \n", "The body is empty"),
        (b"prompt=hello", "is not JSON"),
        (b'{"prompt": "Hello"', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'["Hello"]', "should be an object"),
        (b"{}", "Neither prompt nor messages"),
        (body(prompt=None), "Neither prompt nor messages"),
        (body(prompt=""), "prompt: "),
        (body(prompt=5), "prompt: "),
        (body(messages=[]), "messages: "),
        (body(messages=[{"role": "robot", "content": "Hi"}]), "messages[0].role: "),
        (body(messages=[{"role": "user"}]), "messages[0].content: "),
        (body(messages=[{"role": "user", "content": "Hi", "nmae": "x"}]), "messages[0].nmae is not known"),
        (body(prompt="Hi", messages=[{"role": "user", "content": "Hi"}]), "Both prompt and messages"),
        (body(prefix="So: ", messages=[{"role": "user", "content": "Hi"}]), "prefix goes before a prompt"),
        (body(promt="Hi"), "promt is not known. What there is: prompt, messages,"),
        (body(prompt="Hi", generate_kwargs={"temprature": 1}), "generate_kwargs.temprature is not known"),
        (body(prompt="Hi", generate_kwargs={"trust_remote_code": True}), "trust_remote_code is not known"),
        (body(prompt="Hi", generate_kwargs={"top_p": 3}), "generate_kwargs.top_p: "),
        (body(prompt="Hi", generate_kwargs={"temperature": -1}), "generate_kwargs.temperature: "),
        (body(prompt="Hi", generate_kwargs={"max_length": "200"}), "generate_kwargs.max_length: "),
        (body(prompt="Hi", generate_kwargs={"num_beams": 1000}), "generate_kwargs.num_beams: "),
        (b'{"prompt": "Hi", "generate_kwargs": {"temperature": NaN}}', "generate_kwargs.temperature: "),
        (body(prompt="Hi", handle_long_generation="cut"), "handle_long_generation: "),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_bad_request_is_refused_with_a_sentence(sent: bytes, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(sent)
    assert said in str(refused.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_breaks_the_reader(sent: bytes) -> None:
    outcome: ChatRequest | str
    try:
        outcome = parse(sent)
    except RequestError as refused:
        outcome = str(refused)
    assert isinstance(outcome, ChatRequest) or outcome.endswith(".")


@pytest.mark.parametrize(
    ("named", "samples"),
    [
        ({}, False),
        ({"max_length": 50}, False),
        ({"temperature": 0.7}, True),
        ({"top_k": 5}, True),
        ({"temperature": 0.0}, False),
        ({"temperature": 0.7, "do_sample": False}, False),
        ({"do_sample": True}, True),
        ({"do_sample": True, "temperature": 0.0}, False),
    ],
)
def test_sampling_follows_the_request_then_the_model(named: dict[str, Any], samples: bool) -> None:
    greedy_model = GenerateOptions(do_sample=False, repetition_penalty=1.1)
    options = GenerateOptions.model_validate(named).over(greedy_model)
    assert options.samples is samples
    assert options.repetition_penalty == 1.1
    assert options.max_length == named.get("max_length", 200)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b'{"prompt": "Hi", "max_new_tokens": 5}', "Did you mean generate_kwargs.max_new_tokens?"),
        (b'{"messages": "Hi"}', '{"messages": [{"role": "user"'),
        (b'{"prompt": "Hi", "generate_kwargs": 5}', '"generate_kwargs": {"max_new_tokens": 50}'),
    ],
)
def test_a_refusal_shows_what_is_meant(body: bytes, hint: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(body)
    assert hint in str(refused.value)
