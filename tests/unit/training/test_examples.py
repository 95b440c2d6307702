"""Which tokens of a row are learned, with a chat template and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.tiny import LETTERS, make_tokenizer
from training.examples import IGNORED, Columns, RowError, columns, example
from training.failure import TuningError
from training.settings import DatasetSection

NONE = DatasetSection()
PAIR = Columns(asked=("prompt",), answered="completion")
CHAT = Columns(messages="messages")


def shown(labels: list[int]) -> str:
    """Labels as text; a point is one that is not learned."""
    letters = {number: letter for letter, number in LETTERS.items()}
    return "".join("." if label == IGNORED else letters[label] for label in labels)


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_tokenizer(tmp_path_factory.mktemp("chatting"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_tokenizer(tmp_path_factory.mktemp("plain"), template=None)


def turns(*said: str) -> dict[str, Any]:
    """Of the user and the assistant in turn."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[number % 2], "content": it} for number, it in enumerate(said)]}


@pytest.mark.parametrize(
    ("row", "read", "all_of_it", "answers"),
    [
        ({"prompt": "hi", "completion": "yes"}, PAIR, "u:hi\na:yes\n", ".......yes\n"),
        (turns("a", "b", "c", "d"), CHAT, "u:a\na:b\nu:c\na:d\n", "......b\n......d\n"),
        ({"text": "abc"}, Columns(text="text"), "abc<end>", "abc<end>"),
        ({"answer": "no"}, Columns(answered="answer"), "a:no\n", "a:no\n"),
    ],
)
def test_a_chat_model_learns_by_its_template(
    chatting: Any, row: dict[str, Any], read: Columns, all_of_it: str, answers: str
) -> None:
    whole = example(row, read, chatting, answers_only=False)
    assert shown(whole.ids) == shown(whole.labels) == all_of_it
    only = example(row, read, chatting, answers_only=True)
    assert (shown(only.ids), shown(only.labels)) == (all_of_it, answers)


@pytest.mark.parametrize(
    ("row", "read", "all_of_it", "answers"),
    [
        ({"prompt": "hi", "completion": "yes"}, PAIR, "hi\nyes<end>", "...yes<end>"),
        (turns("a", "b", "c", "d"), CHAT, "a\nb<end>c\nd<end>", "..b<end>..d<end>"),
        ({"text": "abc"}, Columns(text="text"), "abc<end>", "abc<end>"),
    ],
)
def test_a_model_without_a_template_learns_one_after_the_other(
    plain: Any, row: dict[str, Any], read: Columns, all_of_it: str, answers: str
) -> None:
    whole = example(row, read, plain, answers_only=False)
    assert shown(whole.ids) == shown(whole.labels) == all_of_it
    only = example(row, read, plain, answers_only=True)
    assert (shown(only.ids), shown(only.labels)) == (all_of_it, answers)


def test_conversations_of_from_and_value_are_the_same(chatting: Any) -> None:
    row = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    same = turns("a", "b")
    found = example(row, Columns(messages="conversations"), chatting, answers_only=True)
    assert found == example(same, CHAT, chatting, answers_only=True)
    both = {"conversations": [{**turn, "role": None, "content": None} for turn in row["conversations"]]}
    assert found == example(both, Columns(messages="conversations"), chatting, answers_only=True), "as arrow has it"


def test_an_instruction_and_its_input_are_one_question(chatting: Any) -> None:
    read = Columns(asked=("instruction", "input"), answered="output")
    row = {"instruction": "do", "input": "it", "output": "ok"}
    assert shown(example(row, read, chatting, answers_only=False).ids) == "u:do\n\nit\na:ok\n"
    for empty in ("", None):
        found = example({**row, "input": empty}, read, chatting, answers_only=False)
        assert shown(found.ids) == "u:do\na:ok\n"


def test_a_template_that_rewrites_what_was_said_is_told(chatting: Any, tmp_path: Path) -> None:
    last = "{% for turn in messages %}{{ turn['content'] if loop.last else '?' }}{% endfor %}"
    forgetful = make_tokenizer(tmp_path, last)
    with pytest.raises(RowError, match=r"set DatasetConfig.completion_only_loss to false"):
        example(turns("a", "b", "c", "d"), CHAT, forgetful, answers_only=True)
    assert shown(example(turns("a", "b", "c", "d"), CHAT, forgetful, answers_only=False).ids) == "???d"


@pytest.mark.parametrize(
    ("row", "read", "said"),
    [
        ({"text": ""}, Columns(text="text"), "text is empty"),
        ({"text": None}, Columns(text="text"), "text is empty, not a text"),
        ({"prompt": 4, "completion": "x"}, PAIR, "prompt is 4, not a text"),
        ({"prompt": "x", "completion": ""}, PAIR, "completion is empty"),
        ({"messages": "hi"}, CHAT, "a conversation is a list of"),
        ({"messages": []}, CHAT, "a conversation is a list of"),
        ({"messages": ["hi"]}, CHAT, "a turn is 'hi', not"),
        ({"messages": [{"role": "user"}]}, CHAT, "a turn has no role or no content that is a text"),
        ({"messages": [{"role": "user", "content": "hi"}]}, CHAT, "no turn of the role assistant"),
    ],
)
def test_what_is_wrong_with_a_row_is_told(chatting: Any, row: dict[str, Any], read: Columns, said: str) -> None:
    with pytest.raises(RowError, match=said):
        example(row, read, chatting, answers_only=False)


@pytest.mark.parametrize(
    ("names", "wanted", "read"),
    [
        (["messages", "text"], NONE, CHAT),
        (["conversations"], NONE, Columns(messages="conversations")),
        (["prompt", "completion"], NONE, PAIR),
        (["question", "answer"], NONE, Columns(asked=("question",), answered="answer")),
        (["instruction", "output"], NONE, Columns(asked=("instruction",), answered="output")),
        (["output", "input", "instruction"], NONE, Columns(asked=("instruction", "input"), answered="output")),
        (["text", "id"], NONE, Columns(text="text")),
        (["messages", "log"], DatasetSection(messages_column="log"), Columns(messages="log")),
        (["a", "b"], DatasetSection(context_column="a", response_column="b"), Columns(asked=("a",), answered="b")),
        (["a", "b"], DatasetSection(response_column="b"), Columns(answered="b")),
    ],
)
def test_columns_are_found_by_name(names: list[str], wanted: DatasetSection, read: Columns) -> None:
    assert columns(names, wanted) == read


def test_columns_that_are_none_are_told() -> None:
    with pytest.raises(TuningError, match="the data have the columns a, b, and none is understood: give messages"):
        columns(["b", "a"], NONE)
    with pytest.raises(TuningError, match="DatasetConfig names the column c, and the data have a, b"):
        columns(["b", "a"], DatasetSection(response_column="c"))
