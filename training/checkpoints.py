"""Checkpoints that a tuning goes on from: whole ones, of the same data and settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments

from training.settings import Settings

#: What a checkpoint was made of: from another's nothing goes on.
_MADE_OF: Final = "made-of.json"
#: In a checkpoint, written at last: its files and their sizes.
_WHOLE: Final = "whole.json"
_PREFIX: Final = "checkpoint-"


class Sealer(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks have no types
    """Says of each checkpoint that it is whole, once all processes have written their part."""

    def on_save(self, arguments: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = Path(arguments.output_dir) / f"{_PREFIX}{state.global_step}"
            note = folder / f".{_WHOLE}"
            note.write_text(json.dumps(_sizes(folder)))
            note.rename(folder / _WHOLE)


def latest(output: Path, digest: str) -> Path | None:
    """The latest whole checkpoint, if it is of the same tuning. All others that one cannot go on from are removed."""
    note = output / _MADE_OF
    same = note.is_file() and note.read_text() == digest
    found = []
    for checkpoint in output.glob(f"{_PREFIX}*"):
        if same and _whole(checkpoint):
            found.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    if not same:
        output.mkdir(parents=True, exist_ok=True)
        note.write_text(digest)
    return max(found, key=lambda it: int(it.name.removeprefix(_PREFIX)), default=None)


def digest(data: Path, name: str, settings: Settings) -> str:
    """What the result depends on, but for where things are."""
    files = sorted(it for it in data.rglob("*") if it.is_file())
    listed = [(str(it.relative_to(data)), it.stat().st_size) for it in files]
    given = {field: repr(getattr(settings, field)) for field in settings.__slots__ if field != "output"}
    return hashlib.sha256(json.dumps([name, listed, given], sort_keys=True).encode()).hexdigest()


def _whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / _WHOLE).read_text())
    except (OSError, ValueError):
        return False
    return bool(sizes == _sizes(checkpoint))


def _sizes(checkpoint: Path) -> dict[str, int]:
    return {
        str(it.relative_to(checkpoint)): it.stat().st_size
        for it in sorted(checkpoint.rglob("*"))
        if it.is_file() and it.name not in (_WHOLE, f".{_WHOLE}")
    }
