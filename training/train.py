"""One tuning: data and weights in, an adapter out, by transformers' Trainer; killed and started again it goes on from
its last checkpoint."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import torch
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from training import checkpoints, data, model
from training.failure import TuningError, first_line
from training.progress import Reached, Reporter
from training.settings import Settings, built

#: The folder, of the output directory, of what is made: nothing else is in it.
ADAPTER: Final = "adapter"
#: Where the configuration says nothing else than the library.
_DEFAULTS: Final = {
    "per_device_train_batch_size": 1,
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_steps": 1,
    "logging_nan_inf_filter": False,  # it would hide that the loss has become none
    "ddp_find_unused_parameters": False,
    "dataloader_pin_memory": torch.cuda.is_available(),
}
#: A loss that has grown by more than this is no noise.
_WORSE: Final = 2
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """``weights``, ``data``: directories; ``name``: the model's; ``work``: where what is no result may be written."""

    weights: Path
    name: str
    data: Path
    settings: Settings
    work: Path


@dataclass(frozen=True, slots=True)
class Made:
    """``adapter``: the directory; ``peak``: MiB of memory, the GPU's or the process'."""

    adapter: Path
    reached: Reached
    peak: int


def train(
    asked: Asked, tell: Callable[[Reached], None], watched: Callable[[Reporter], object] = lambda _: None
) -> Made:
    """``tell`` hears of every step, ``watched`` at first of who knows where it is. Raises TuningError."""
    settings = asked.settings
    arguments = _arguments(settings)
    adapter = settings.output / ADAPTER
    set_seed(arguments.seed)  # LoRA's matrices are random at first
    tokenizer = model.tokenizer(asked.weights, settings.model.chat_template)
    tuned = model.model(asked.weights, settings)
    window = int(getattr(tuned.config, "max_position_embeddings", None) or sys.maxsize)
    found = data.load(asked.data, settings.dataset, tokenizer, window, asked.work)
    if found.test is not None and "eval_strategy" not in settings.arguments:
        arguments.eval_strategy = arguments.save_strategy
    reporter = Reporter(found.tokens, tell)
    watched(reporter)
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True, pad_to_multiple_of=settings.collator.pad_to_multiple_of)
    given = {
        "model": tuned,
        "args": arguments,
        "train_dataset": found.train,
        "eval_dataset": found.test,
        "processing_class": tokenizer,
        "data_collator": collator,
        "callbacks": [reporter, checkpoints.Sealer()],
    }
    trainer = built("TrainingArguments", Trainer, given)
    for spoken in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(spoken)
    with arguments.main_process_first(desc="looking for checkpoints"):  # which it also removes
        checkpoint = checkpoints.latest(settings.output, checkpoints.digest(asked.data, asked.name, settings))
    if checkpoint:
        _log.info("training.resumed", checkpoint=checkpoint.name)
    _run(trainer, checkpoint)
    if trainer.is_world_process_zero():
        shutil.rmtree(adapter, ignore_errors=True)
        config = tuned.peft_config["default"]
        config.base_model_name_or_path = asked.name  # where it was here, helps nobody
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)  # the same file each time
        tuned.save_pretrained(adapter, save_embedding_layers=False)  # the vocabulary is as it was
        for extra in adapter.glob("README*"):  # a card without a word on this model
            extra.unlink()
    return Made(adapter, reporter.reached, _peak())


def _arguments(settings: Settings) -> TrainingArguments:
    given = {**_DEFAULTS, **settings.arguments, "output_dir": str(settings.output), "report_to": []}
    if given.get("gradient_checkpointing"):
        given.setdefault("gradient_checkpointing_kwargs", {"use_reentrant": False})
    dtype = model.computing(settings.model.torch_dtype)
    # Autocast is of the same kind as the weights, and on a CPU without the hardware thirty times as slow as none.
    given["bf16"], given["fp16"] = dtype == torch.bfloat16, dtype == torch.float16
    given["use_cpu"] = not torch.cuda.is_available()
    return built("TrainingArguments", TrainingArguments, given)


def _run(trainer: Trainer, checkpoint: Path | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError as error:
        raise _too_large(error) from error
    except RuntimeError as error:  # as the CPU's allocator says it
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise _too_large(error) from error
        raise
    _converged(trainer)


def _converged(trainer: Trainer) -> None:
    """It is an error where the loss became none, or worse than both at first and of a guess."""
    names = ("loss", "eval_loss", "train_loss")
    losses = [it[name] for it in trainer.state.log_history for name in names if name in it]
    first, last = losses[0], next((it for it in losses if not math.isfinite(it)), losses[-1])
    guessed = math.log(trainer.model.config.vocab_size)
    if not math.isfinite(last) or last > max(_WORSE * first, guessed):
        raise TuningError(
            "Diverged",
            f"the loss, {first:.3g} at first, became {last:.3g}: set a smaller TrainingArguments.learning_rate (it was"
            f" {trainer.args.learning_rate}), or max_grad_norm.",
        )


def _too_large(error: BaseException) -> TuningError:
    return TuningError(
        "OutOfMemory",
        f"the memory does not suffice ({first_line(error)}): set TrainingArguments.per_device_train_batch_size to 1,"
        " gradient_checkpointing to true or DatasetConfig.max_length to less, take method qlora, or an instanceType"
        " with more memory.",
    )


def _peak() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
