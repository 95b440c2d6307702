"""Text becomes tokens and tokens text, within the model's window."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from serving.chat import ChatRequest, GenerateOptions, Message, RequestError
from serving.engine import ModelError, Token
from serving.pipeline import Pipeline, recommended


class Letters:
    """A tokenizer of one token a letter; its template puts [ and ] around the turns."""

    eos_token_id: int | None = ord("$")

    def __init__(self, template: str | None) -> None:
        self.chat_template = template

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        text = "".join(chr(number) for number in ids)
        return text.replace(" .", ".") if clean_up_tokenization_spaces else text

    def convert_ids_to_tokens(self, ids: int) -> str:
        return chr(ids)

    def apply_chat_template(
        self,
        conversation: list[dict[str, Any]],
        *,
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool,
        return_dict: bool,
    ) -> Any:
        if conversation[0]["role"] == "assistant":
            raise TemplateError("Conversation roles must alternate")
        turns = "|".join(f"{turn['role']}:{turn['content']}" for turn in conversation)
        names = "".join(f"{tool['function']['name']}>" for tool in tools or ())
        return {"input_ids": self.encode(f"{names}[{turns}]")}


class Recorder:
    """An engine that answers with letters and writes down what it was asked."""

    window = 100

    def __init__(self, says: str = " fine .") -> None:
        self.says = says
        self.asked: list[tuple[str, GenerateOptions, int]] = []

    def generate(
        self, ids: Sequence[int], options: GenerateOptions, new_tokens: int, likeliest: int | None = None
    ) -> Generator[Token, None, None]:
        self.asked.append(("".join(chr(number) for number in ids), options, new_tokens))
        return (Token(ord(letter)) for letter in self.says[:new_tokens])


def pipeline(engine: Recorder, template: str | None = None) -> Pipeline:
    return Pipeline(Letters(template), engine, GenerateOptions(do_sample=False))


def test_text_is_continued_where_there_is_no_template() -> None:
    engine = Recorder()
    assert pipeline(engine).answer(ChatRequest(prompt="I am", prefix="Well, ")) == "Well, I am fine ."
    assert engine.asked[0][0] == "Well, I am"


def test_only_the_new_text_on_request() -> None:
    assert pipeline(Recorder()).answer(ChatRequest(prompt="I am", return_full_text=False)) == " fine ."


def test_spaces_are_cleaned_up_on_request() -> None:
    asked = ChatRequest(prompt="I am", clean_up_tokenization_spaces=True)
    assert pipeline(Recorder()).answer(asked) == "I am fine."


def test_a_prompt_to_a_model_that_chats_is_one_message() -> None:
    engine = Recorder("Paris")
    assert pipeline(engine, "chat").answer(ChatRequest(prompt="Capital?")) == "Paris"
    assert engine.asked[0][0] == "[user:Capital?]"


def test_messages_go_through_the_template() -> None:
    engine = Recorder("Paris")
    turns = [Message(role="system", content="Brief"), Message(role="user", content="Capital?")]
    assert pipeline(engine, "chat").answer(ChatRequest(messages=turns)) == "Paris"
    assert engine.asked[0][0] == "[system:Brief|user:Capital?]"


@pytest.mark.parametrize(
    ("options", "new_tokens"),
    [
        (GenerateOptions(), 96),  # 200 in all, and the window is 100
        (GenerateOptions(max_length=10), 6),
        (GenerateOptions(max_new_tokens=7), 7),
        (GenerateOptions(max_new_tokens=7, max_length=3), 7),
        (GenerateOptions(max_new_tokens=1000), 96),
    ],
)
def test_an_answer_ends_at_the_limit_or_the_window(options: GenerateOptions, new_tokens: int) -> None:
    engine = Recorder()
    pipeline(engine).answer(ChatRequest(prompt="I am", generate_kwargs=options))
    assert engine.asked[0][2] == new_tokens


def test_the_end_of_a_long_prompt_is_kept_on_request() -> None:
    engine = Recorder()
    asked = ChatRequest(
        prompt="a" * 100 + "b" * 90,
        handle_long_generation="hole",
        generate_kwargs=GenerateOptions(max_new_tokens=5),
    )
    pipeline(engine).answer(asked)
    assert (engine.asked[0][0], engine.asked[0][2]) == ("aaaaa" + "b" * 90, 5)


@pytest.mark.parametrize(
    ("asked", "template", "said"),
    [
        (ChatRequest(prompt="a" * 120), None, "The prompt has 120 tokens and the model holds 100"),
        (
            ChatRequest(prompt="abcd", generate_kwargs=GenerateOptions(max_length=4)),
            None,
            "The prompt has 4 tokens and generate_kwargs.max_length, which counts them too, is 4",
        ),
        (ChatRequest(prompt="a" * 120, handle_long_generation="hole"), None, "needs generate_kwargs.max_new_tokens"),
        (ChatRequest(messages=[Message(role="user", content="Hi")]), None, "has no chat template"),
        (ChatRequest(messages=[Message(role="assistant", content="Hi")]), "chat", "roles must alternate"),
    ],
)
def test_what_the_model_cannot_take_is_refused(asked: ChatRequest, template: str | None, said: str) -> None:
    engine = Recorder()
    with pytest.raises(RequestError, match=said):
        pipeline(engine, template).answer(asked)
    assert engine.asked == []


def test_a_model_recommends_how_to_choose_tokens_but_not_how_many(tmp_path: Path) -> None:
    assert recommended(tmp_path) == GenerateOptions()
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({"temperature": 0.6, "top_p": 0.9, "max_length": 4096, "eos_token_id": [1, 2]}))
    assert recommended(tmp_path) == GenerateOptions(temperature=0.6, top_p=0.9)
    file.write_text(json.dumps({"top_p": 7}))
    with pytest.raises(ModelError, match="recommends what cannot be"):
        recommended(tmp_path)


def test_tools_are_shown_by_the_template_and_an_answer_may_be_begun() -> None:
    engine = Recorder()
    tool = {"type": "function", "function": {"name": "weather"}}
    talk = [{"role": "user", "content": "Hi"}]
    completion = pipeline(engine, "tools <tool_call>").complete(talk, GenerateOptions(), tools=[tool], opening="<x>")
    assert engine.asked[0][0] == "weather>[user:Hi]<x>"
    assert "".join(completion) == " fine ."
    in_system = pipeline(engine, "tools <|tool|>")
    in_system.complete([{"role": "system", "content": "Brief"}, *talk], GenerateOptions(), tools=[tool])
    assert engine.asked[1][0] == "[system:Brief|user:Hi]", "Phi's template has its tools from the message"
    with pytest.raises(RequestError, match="chat template shows it no tools"):
        pipeline(engine, "no such thing").complete(talk, GenerateOptions(), tools=[tool])
