"""OpenAI's own client, unmodified, against the real server with the real model, on each backend that a CPU has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, cast

import httpx
import openai
import pytest
from pydantic import BaseModel, Field

from serving.tokenizer import read_tokenizer
from tests.integration.serving.process import Server, figure, serving, until_idle
from tests.questions import QUESTION, QUESTIONS

TURNS: Any = [{"role": "user", "content": QUESTION}]
#: What the model's own template lacks: it shows tools, and the calls of earlier turns.
TOOLS = (
    "{% if tools %}You can call these functions:\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "To call one, say <tool_call>{name, arguments}</tool_call>.{% endif %}"
)
CALLS = "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"


@pytest.fixture(scope="module")
def taught(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with a template that knows tools."""
    folder = tmp_path_factory.mktemp("weights")
    for file in weights.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((weights / "tokenizer_config.json").read_text())
    template = config["chat_template"].replace(
        "<|im_end|>", f"' }}}}{TOOLS}{{{{ '<|im_end|>", 1
    )  # it is a literal there
    config["chat_template"] = template.replace("message['content'] +", f"message['content'] }}}}{CALLS}{{{{")
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module", params=["openvino", "torch"])
def server(request: pytest.FixtureRequest, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serving(taught, log, f"--backend={request.param}", "--name=smollm2") as running:
        assert running.backend == request.param
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client: openai.OpenAI, question: str, most: int = 32) -> str:
    answer = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": question}], max_completion_tokens=most
    )
    return answer.choices[0].message.content or ""


def test_messages_are_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "stop"
    assert "Paris" in str(choice.message.content)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same_piece_by_piece(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == ask(client, QUESTION)
    assert sum(bool(text) for text in texts) > 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(texts) - 2 + 1, "a piece a token, and the end"


def test_how_likely_each_token_was_is_told(server: Server, client: openai.OpenAI, taught: Path) -> None:
    likeliest = 2 if server.backend == "torch" else 0
    answer = client.chat.completions.create(
        model="smollm2", messages=TURNS, temperature=0, max_tokens=16, logprobs=True, top_logprobs=likeliest
    )
    (choice,) = answer.choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert b"".join(bytes(token.bytes or []) for token in tokens).decode() == choice.message.content
    assert [token.logprob for token in tokens] == pytest.approx(_logprobs(taught, len(tokens)), abs=0.5)
    if likeliest:
        assert all([it.token for it in token.top_logprobs][:1] == [token.token] for token in tokens)
        assert {len(token.top_logprobs) for token in tokens} == {2}
    else:
        with pytest.raises(openai.BadRequestError, match="tells of the chosen tokens only: send top_logprobs 0"):
            client.completions.create(model="smollm2", prompt="Once", logprobs=1)


def _logprobs(weights: Path, count: int) -> list[float]:
    """Of the likeliest tokens, by transformers in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = read_tokenizer(weights)
    ids = tokenizer.apply_chat_template(TURNS, tools=None, add_generation_prompt=True, return_dict=True)["input_ids"]
    model, found = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32), list[float]()
    with torch.inference_mode():
        for _ in range(count):
            best = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).max(-1)
            found.append(best.values.item())
            ids = [*ids, int(best.indices)]
    return found


def test_it_stops_where_it_is_told(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": QUESTION}], stop=[" is Par"]
    )
    assert answer.choices[0].message.content == "The capital of France"
    assert answer.choices[0].finish_reason == "stop"


def test_of_a_seed_the_same_comes_and_of_n_choices_each_is_another(server: Server, client: openai.OpenAI) -> None:
    def tell() -> list[str | None]:
        answer = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": "Tell me a story."}],
            temperature=1,
            max_tokens=16,
            seed=7,
            n=2,
        )
        assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
        return [choice.message.content for choice in answer.choices]

    one, two = tell()
    assert one != two
    # In a batch the last digits of a number depend on what else is in it, and then, rarely, the token: OpenAI promises
    # no more.
    assert tell() == [one, two] or server.backend == "openvino"


def test_a_text_is_continued(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=8, temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert answer.choices[0].text.startswith(",")


def test_its_model_is_listed_and_no_other_is_there(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["smollm2"]
    with pytest.raises(openai.NotFoundError, match="There is no model gpt here; there is smollm2"):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "Hi"}])


def test_what_is_too_long_is_refused_with_the_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"has \d+ tokens and max_tokens is 8192; the model holds 8192"):
        ask(client, QUESTION, 8192)


def test_many_at_once_get_their_own_answers(client: openai.OpenAI) -> None:
    asked = [*QUESTIONS] * 3
    with ThreadPoolExecutor(len(asked)) as clients:
        answers = list(clients.map(lambda question: ask(client, question, 12), asked))
    right = [QUESTIONS[question] in answer for question, answer in zip(asked, answers, strict=True)]
    assert sum(right) >= 0.9 * len(right), list(zip(asked, answers, strict=True))


def test_where_the_client_hangs_up_the_generation_ends(server: Server, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": "Tell me a long story."}], max_tokens=4000, stream=True
    )
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert figure(server, "kaito_requests_running") == 1
    if server.backend == "openvino":
        assert 0 < figure(server, "kaito_cache_usage_ratio") < 1
    assert figure(server, "kaito_batch_size") == 1
    stream.close()
    until_idle(server)


def test_where_nobody_waits_for_a_whole_answer_the_generation_ends(server: Server) -> None:
    asked = {"prompt": "Tell me a long story.", "generate_kwargs": {"max_new_tokens": 4000, "min_new_tokens": 4000}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/chat", json=asked, timeout=0.5)
    until_idle(server)


class Person(BaseModel):
    name: Annotated[str, Field(max_length=30)]
    age: Annotated[int, Field(ge=0, le=120)]
    languages: Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=3)]


def test_an_answer_is_held_to_a_schema(client: openai.OpenAI) -> None:
    """OpenAI's client makes the schema of a type, and reads the answer as one."""
    parsed = client.chat.completions.parse(
        model="smollm2",
        messages=[{"role": "user", "content": "Make up a person."}],
        response_format=Person,
        max_completion_tokens=200,
    )
    (choice,) = parsed.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Person)


def test_an_answer_is_some_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Give me a city and its country as JSON."}],
        response_format={"type": "json_object"},
        max_completion_tokens=200,
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_a_schema_that_cannot_be_used_hurts_nobody(client: openai.OpenAI) -> None:
    impossible: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=x)y"}}}
    with pytest.raises(openai.BadRequestError, match="#/properties/a/pattern is not supported here"):
        client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": QUESTION}],
            response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": impossible}},
        )
    assert "Paris" in ask(client, QUESTION)


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


def test_a_tool_is_called_and_its_result_is_read(client: openai.OpenAI) -> None:
    talk: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    asked: dict[str, Any] = {"model": "smollm2", "tools": [WEATHER], "max_completion_tokens": 100}
    answer: Any = client.chat.completions.create(messages=talk, tool_choice="required", **asked)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] == "Paris"
    assert arguments["unit"] in ("celsius", "fahrenheit")
    talk += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "22 degrees celsius"},
    ]
    told: Any = client.chat.completions.create(messages=talk, tool_choice="none", **asked)
    assert told.choices[0].message.tool_calls is None
    assert told.choices[0].message.content


def test_a_call_comes_in_a_stream_too(client: openai.OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    with client.chat.completions.stream(
        model="smollm2",
        messages=[{"role": "user", "content": "How is the weather in Rome?"}],
        tools=cast(Any, [WEATHER]),
        tool_choice=named,
        max_completion_tokens=100,
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["city"]
