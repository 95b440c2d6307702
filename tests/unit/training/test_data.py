"""Files of every format become the same tokens; what is wrong with them is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from datasets.arrow_writer import ArrowWriter
from structlog.testing import capture_logs

from tests.unit.training.tiny import ROWS, make_tokenizer
from training.data import Data, load
from training.failure import TuningError
from training.settings import DatasetSection

Writer = Callable[[Path, list[dict[str, Any]]], object]


def separated(by: str) -> Writer:
    def write(file: Path, rows: list[dict[str, Any]]) -> None:
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        file.write_text("".join(by.join(line) + "\n" for line in lines))

    return write


def arrow(file: Path, rows: list[dict[str, Any]]) -> None:
    with ArrowWriter(path=str(file)) as writer:
        for row in rows:
            writer.write(row)
        writer.finalize()


def lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


WRITERS: dict[str, Writer] = {
    "array.json": lambda file, rows: file.write_text(json.dumps(rows)),
    "lines.json": lines,
    "x.jsonl": lines,
    "x.csv": separated(","),
    "x.tsv": separated("\t"),
    "x.parquet": lambda file, rows: Dataset.from_list(rows).to_parquet(file),
    "x.arrow": arrow,
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), template=None)


@pytest.fixture
def loaded(tmp_path: Path, tokenizer: Any) -> Callable[..., Data]:
    """What is in the folder ``data``, by these settings of DatasetConfig."""
    (tmp_path / "data").mkdir()

    works = (tmp_path / f"work-{number}" for number in count())

    def load_it(**wanted: Any) -> Data:
        section = DatasetSection(**{"shuffle_dataset": False, **wanted})
        return load(tmp_path / "data", section, tokenizer, 64, next(works))

    return load_it


def texts(data: Dataset, tokenizer: Any) -> list[str]:
    return [tokenizer.decode(ids).replace(" ", "") for ids in data["input_ids"]]


SAID = [f"{row['prompt']}\n{row['completion']}<end>" for row in ROWS]


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_format_are_read(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data], name: str) -> None:
    WRITERS[name](tmp_path / "data" / name, ROWS)
    found = loaded()
    assert texts(found.train, tokenizer) == SAID
    assert found.train["labels"] == found.train["input_ids"]
    assert found.tokens == sum(map(len, found.train["input_ids"]))
    assert found.test is None


def test_conversations_are_read_of_parquet(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    WRITERS["x.parquet"](tmp_path / "data" / "x.parquet", [{"messages": chat}])
    assert texts(loaded().train, tokenizer) == ["a\nb<end>"]


def test_all_that_a_csv_has_is_text(tmp_path: Path, loaded: Callable[..., Data]) -> None:
    (tmp_path / "data" / "x.csv").write_text('prompt,completion\nq,007\n"q, q",NA\n')
    assert [len(ids) for ids in loaded().train["input_ids"]] == [len("q\n007") + 1, len("q, q\nNA") + 1]


def test_files_in_folders_are_one(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]) -> None:
    (tmp_path / "data" / "b").mkdir()
    lines(tmp_path / "data" / "a.jsonl", ROWS[:3])
    WRITERS["array.json"](tmp_path / "data" / "b" / "c.json", ROWS[3:])
    (tmp_path / "data" / ".hidden.csv").write_text("no")
    (tmp_path / "data" / "README.md").write_text("no")
    assert texts(loaded().train, tokenizer) == SAID


def test_one_of_several_formats_is_chosen(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]) -> None:
    lines(tmp_path / "data" / "a.jsonl", ROWS[:1])
    separated(",")(tmp_path / "data" / "b.csv", ROWS[1:])
    with pytest.raises(TuningError, match=r"has files of several formats \(csv, jsonl\): name one by DatasetConfig"):
        loaded()
    assert texts(loaded(dataset_extension="csv").train, tokenizer) == SAID[1:]
    assert texts(loaded(dataset_path="a.jsonl").train, tokenizer) == SAID[:1]


def test_a_file_elsewhere_is_read_by_its_path(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]) -> None:
    lines(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "data" / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    for path in (tmp_path / "a.jsonl", "../a.jsonl", "link.jsonl", None):
        assert texts(loaded(dataset_path=path and str(path)).train, tokenizer) == SAID


def test_a_file_of_another_name_is_read_as_it_is_said(
    tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]
) -> None:
    lines(tmp_path / "data" / "data", ROWS)
    with pytest.raises(TuningError, match=r"there is data. Give DatasetConfig.dataset_extension"):
        loaded()
    assert texts(loaded(dataset_extension=".jsonl").train, tokenizer) == SAID


@pytest.mark.parametrize(
    ("name", "content", "wanted", "said"),
    [
        ("a.jsonl", "", {}, r"^a.jsonl: there is no row"),
        ("a.json", "[]", {}, r"^a.json: there is no row"),
        ("a.csv", "", {}, r"^a.csv cannot be read as csv: "),
        ("a.csv", "prompt,completion\n", {}, r"^a.csv: there is no row"),
        ("a.jsonl", "no", {}, r"^a.jsonl cannot be read as jsonl: "),
        ("a.parquet", "no", {}, r"^a.parquet cannot be read as parquet: "),
        ("a.csv", "no\xff", {}, r"^a.csv cannot be read as csv: 'utf-8' codec"),
        ("a.txt", "no", {}, "no json, .* file is in .*: there is a.txt"),
        ("a.jsonl", '{"a": "b"}', {}, "the data have the columns a, and none is understood"),
        ("a.jsonl", '{"text": "b"}', {"response_column": "c"}, "names the column c, and the data have text"),
        ("a.jsonl", '{"text": "b"}', {"dataset_path": "b.jsonl"}, "DatasetConfig.dataset_path is .*/b.jsonl, and"),
        ("a.jsonl", '{"text": "b"}', {"dataset_extension": "xls"}, "DatasetConfig.dataset_extension is xls; it can be"),
        ("a.jsonl", '{"text": "b"}\n{"text": null}', {}, "^row 2 of 2: text is empty, not a text.$"),
        ("a.jsonl", '{"text": "b"}', {"train_test_split": 0.5}, "one row cannot be split"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(
    tmp_path: Path, loaded: Callable[..., Data], name: str, content: str, wanted: dict[str, Any], said: str
) -> None:
    (tmp_path / "data" / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(TuningError, match=said):
        loaded(**wanted)


def test_a_row_that_is_too_long_is_cut(tmp_path: Path, loaded: Callable[..., Data]) -> None:
    lines(tmp_path / "data" / "a.jsonl", [{"text": "a" * 100}, {"text": "a" * 20}, {"text": "a"}])
    with capture_logs() as logs:
        assert [len(ids) for ids in loaded().train["input_ids"]] == [64, 21, 2], "the model's window"
    assert [len(ids) for ids in loaded(max_length=8).train["input_ids"]] == [8, 8, 2]
    (read,) = [line for line in logs if line["event"] == "data.read"]
    assert (read["rows"], read["cut"], read["most_tokens"]) == (3, 1, 64)


def test_a_row_whose_answer_is_cut_off_is_left_out_and_counted(
    tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]
) -> None:
    long = {"prompt": "a" * 70, "completion": "b"}
    lines(tmp_path / "data" / "a.jsonl", [long, *ROWS])
    with capture_logs() as logs:
        assert texts(loaded(completion_only_loss=True).train, tokenizer) == SAID
    assert [line["without_an_answer"] for line in logs if line["event"] == "data.read"] == [1]
    lines(tmp_path / "data" / "a.jsonl", [long, long])
    with pytest.raises(TuningError, match="all 2 rows have no answer within 64 tokens"):
        loaded(completion_only_loss=True)


def test_data_are_split_and_shuffled_by_their_seed(tmp_path: Path, tokenizer: Any, loaded: Callable[..., Data]) -> None:
    lines(tmp_path / "data" / "a.jsonl", ROWS)
    found = loaded(train_test_split=0.75)
    assert found.test is not None
    assert texts(found.train, tokenizer) + texts(found.test, tokenizer) == SAID
    assert (len(found.train), len(found.test)) == (6, 2)
    once, again = (texts(loaded(shuffle_dataset=True).train, tokenizer) for _ in range(2))
    assert once == again != SAID
    assert sorted(once) == sorted(SAID)
    assert texts(loaded(shuffle_dataset=True, shuffle_seed=7).train, tokenizer) != once
