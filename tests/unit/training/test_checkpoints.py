"""From which checkpoint a tuning goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerState, TrainingArguments

from tests.unit.training.tiny import asked
from training.checkpoints import Sealer, digest, latest


def save(output: Path, step: int, *, sealed: bool = True) -> Path:
    checkpoint = output / f"checkpoint-{step}"
    (checkpoint / "folder").mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_text("numbers")
    (checkpoint / "folder" / "more").write_text("numbers")
    if sealed:
        arguments = TrainingArguments(output_dir=str(output), use_cpu=True)
        Sealer().on_save(arguments, TrainerState(global_step=step))
    return checkpoint


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Of a tuning that has begun."""
    assert latest(tmp_path / "results", "same") is None
    return tmp_path / "results"


def test_the_latest_is_the_one_of_most_steps(output: Path) -> None:
    save(output, 9)
    save(output, 10)
    assert latest(output, "same") == output / "checkpoint-10"


def test_of_another_tuning_nothing_is_left(output: Path) -> None:
    save(output, 9)
    assert latest(output, "other") is None
    assert not list(output.glob("checkpoint-*"))
    save(output, 3)
    assert latest(output, "other") == output / "checkpoint-3"


@pytest.mark.parametrize("broken", ["unsealed", "shorter", "missing", "no seal"])
def test_one_that_was_cut_short_is_removed_and_the_one_before_is_taken(output: Path, broken: str) -> None:
    whole, other = save(output, 1), save(output, 2, sealed=broken != "unsealed")
    if broken == "shorter":
        (other / "optimizer.pt").write_text("num")
    elif broken == "missing":
        (other / "folder" / "more").unlink()
    elif broken == "no seal":
        (other / "whole.json").write_text("{")
    assert latest(output, "same") == whole
    assert not other.exists()


def test_one_process_of_several_says_that_it_is_whole(output: Path) -> None:
    checkpoint = save(output, 1, sealed=False)
    arguments = TrainingArguments(output_dir=str(output), use_cpu=True)
    Sealer().on_save(arguments, TrainerState(global_step=1, is_world_process_zero=False))
    assert latest(output, "same") is None
    assert not checkpoint.exists()


def made_of(folder: Path, **sections: dict[str, Any]) -> str:
    found = asked(folder / "weights", folder, **sections)
    return digest(found.data, found.name, found.settings)


def test_a_tuning_is_another_by_its_data_and_settings_and_not_by_its_place(tmp_path: Path) -> None:
    before = made_of(tmp_path / "a")
    assert made_of(tmp_path / "b") == before
    assert made_of(tmp_path / "a", arguments={"num_train_epochs": 9}) != before
    assert made_of(tmp_path / "a", dataset={"max_length": 9}) != before
    found = asked(tmp_path, tmp_path / "a")
    assert digest(found.data, "other", found.settings) != before
    (found.data / "more.jsonl").write_text("{}")
    assert digest(found.data, found.name, found.settings) != before
