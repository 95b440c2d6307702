"""A model of a few numbers is tuned."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.adapters import Adapter
from serving.lora import read, why_not_plain
from tests.unit.training.tiny import ADAPTER_FILES, ROWS, asked, write_rows
from training.failure import TuningError
from training.progress import Reached
from training.train import Made, train

SHORT = {"num_train_epochs": 1, "per_device_train_batch_size": 4}


def tuned(weights: Path, folder: Path, method: str = "lora", **sections: dict[str, Any]) -> tuple[Made, list[Reached]]:
    """Two steps of it, or what ``arguments`` say."""
    told: list[Reached] = []
    arguments = {**SHORT, **sections.pop("arguments", {})}
    return train(asked(weights, folder, method, arguments=arguments, **sections), told.append), told


@pytest.fixture(scope="module")
def made(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return tuned(weights, tmp_path_factory.mktemp("made"), lora={"lora_dropout": 0.1})[0]


def tensors(made: Made) -> bytes:
    return (made.adapter / "adapter_model.safetensors").read_bytes()


def test_two_tunings_of_one_seed_are_the_same(weights: Path, tmp_path: Path, made: Made) -> None:
    again, _ = tuned(weights, tmp_path / "again", lora={"lora_dropout": 0.1})
    assert tensors(again) == tensors(made)
    assert (again.adapter / "adapter_config.json").read_bytes() == (made.adapter / "adapter_config.json").read_bytes()
    other, _ = tuned(weights, tmp_path / "other", lora={"lora_dropout": 0.1}, arguments={"seed": 7})
    assert tensors(other) != tensors(made)


def test_the_adapter_is_two_files_of_the_model_that_was_named(made: Made) -> None:
    assert {path.name for path in made.adapter.rglob("*")} == ADAPTER_FILES
    config = json.loads((made.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert made.peak > 0


def test_peft_and_the_inference_server_take_the_adapter(weights: Path, made: Made) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[2, 3, 4]])
    base = AutoModelForCausalLM.from_pretrained(weights)
    before = base(ids).logits.detach().clone()
    after = PeftModel.from_pretrained(base, str(made.adapter))(ids).logits.detach()
    assert not torch.allclose(before, after)
    adapter = Adapter(made.adapter, 1.0)
    assert why_not_plain(adapter) is None
    assert [lora.scale for lora in read([adapter], weights)] == [2.0]


def test_the_loss_falls_and_every_step_is_told(weights: Path, tmp_path: Path) -> None:
    arguments = {"num_train_epochs": 12, "per_device_train_batch_size": 8, "learning_rate": 0.1}
    _, told = tuned(weights, tmp_path, arguments=arguments, lora={"r": 8, "target_modules": "all-linear"})
    assert sorted({it.step for it in told}) == list(range(13))
    losses = [it.loss for it in told if it.loss is not None]
    assert losses[-1] < losses[0] * 0.9
    assert (told[-1].steps, told[-1].epoch, told[-1].remaining) == (12, 12.0, 0.0)


def test_the_loss_of_rows_that_are_held_back_is_told(weights: Path, tmp_path: Path) -> None:
    made, _ = tuned(weights, tmp_path, dataset={"train_test_split": 0.5})
    assert made.reached.steps == 1
    assert made.reached.eval_loss is not None
    assert 0 < made.reached.eval_loss < 2 * math.log(32)


@pytest.mark.parametrize(
    "quantization",
    [
        {},
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        {"load_in_8bit": True},
    ],
)
def test_checkpointing_of_gradients_changes_no_number(
    weights: Path, tmp_path: Path, quantization: dict[str, Any]
) -> None:
    method = "qlora" if quantization else "lora"
    found = []
    for checkpointing in (False, True):
        folder = tmp_path / str(checkpointing)
        more = {"gradient_checkpointing": checkpointing, "max_steps": 1}
        made, _ = tuned(weights, folder, method, quantization=quantization, arguments=more)
        found.append(tensors(made))
        assert {path.name for path in made.adapter.iterdir()} == ADAPTER_FILES
    assert found[0] == found[1]


@pytest.mark.parametrize(("rate", "steps"), [(1e6, 8), (1e38, 2)])
def test_a_loss_that_grows_beyond_all_is_a_failure_with_advice(
    weights: Path, tmp_path: Path, rate: float, steps: int
) -> None:
    told: list[Reached] = []
    arguments = {**SHORT, "learning_rate": rate, "num_train_epochs": 4, "logging_steps": 1}
    wild = asked(weights, tmp_path, arguments=arguments, lora={"target_modules": ["lm_head"]})
    with pytest.raises(TuningError, match=r"became .*: set a smaller TrainingArguments.learning_rate") as caught:
        train(wild, told.append)
    assert caught.value.reason == "Diverged"
    assert f"it was {rate}" in str(caught.value)
    assert told[-1].step == steps, "what is no number is the end of it"
    assert not (tmp_path / "results" / "adapter").exists()


@pytest.mark.parametrize(
    "arguments",
    [{"eval_strategy": "epoch"}, {"optim": "none"}, {"save_strategy": "sometimes"}, {"lr_scheduler_type": "up"}],
)
def test_arguments_that_do_not_go_together_are_told(weights: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(TuningError, match=r"^TrainingArguments in the training config: ") as caught:
        tuned(weights, tmp_path, arguments=arguments)
    assert caught.value.reason == "ConfigInvalid"


def test_too_little_memory_is_a_failure_with_advice(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("training.train.Trainer.train", full)
    with pytest.raises(TuningError, match=r"set TrainingArguments.per_device_train_batch_size to 1") as caught:
        tuned(weights, tmp_path)
    assert caught.value.reason == "OutOfMemory"


def copied(made: Made, folder: Path) -> Path:
    """The results of a tuning whose last two checkpoints are there, in a folder of another."""
    folder.mkdir()
    return Path(shutil.copytree(made.adapter.parent, folder / "results"))


LONG = {"num_train_epochs": 3, "save_total_limit": None}


@pytest.fixture(scope="module")
def whole(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three epochs of two steps, with dropout: their order of random numbers shows."""
    folder = tmp_path_factory.mktemp("whole")
    return tuned(weights, folder, lora={"lora_dropout": 0.1}, arguments=LONG)[0]


def test_a_checkpoint_that_was_cut_short_does_not_end_it(weights: Path, tmp_path: Path, whole: Made) -> None:
    results = copied(whole, tmp_path / "again")
    file = results / "checkpoint-6" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:100])
    shutil.rmtree(results / "adapter")
    made, told = tuned(weights, tmp_path / "again", lora={"lora_dropout": 0.1}, arguments=LONG)
    assert told[0].step == 4, "from the one before"
    assert tensors(made) == tensors(whole)


def test_a_tuning_that_was_done_is_done_at_once(weights: Path, tmp_path: Path, whole: Made) -> None:
    copied(whole, tmp_path / "again")
    made, told = tuned(weights, tmp_path / "again", lora={"lora_dropout": 0.1}, arguments=LONG)
    assert {it.step for it in told} == {6}
    assert made.reached.loss == whole.reached.loss
    assert tensors(made) == tensors(whole)


def test_nothing_goes_on_from_other_settings_or_other_data(weights: Path, tmp_path: Path, whole: Made) -> None:
    copied(whole, tmp_path / "other")
    made, told = tuned(weights, tmp_path / "other", lora={"lora_dropout": 0.2}, arguments=SHORT)
    assert (told[0].step, told[-1].step) == (0, 2)
    more = asked(weights, tmp_path / "other", lora={"lora_dropout": 0.2}, arguments=SHORT)
    write_rows(more.data, ROWS[:4])
    told.clear()
    train(more, told.append)
    assert (told[0].step, told[-1].step) == (0, 1)
    assert made.adapter.is_dir()
