"""The data that a Job was given, as token ids on disk: read, checked row by row, shuffled and split."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from datasets import Dataset, Features, List, Value, load_dataset
from datasets.exceptions import DatasetGenerationError

from training.examples import IGNORED, Columns, RowError, Tokenizer, columns, example
from training.failure import TuningError, first_line
from training.settings import DatasetSection

#: Which of the library's builders reads files with this extension, and how.
_BUILDERS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "json": ("json", {}),
    "jsonl": ("json", {}),
    "ndjson": ("json", {}),
    "csv": ("csv", {"sep": ","}),
    "tsv": ("csv", {"sep": "\t"}),
    "parquet": ("parquet", {}),
    "arrow": ("arrow", {}),
}
#: 32 bits are enough for any vocabulary.
_FEATURES: Final = Features({name: List(Value("int32")) for name in ("input_ids", "labels")})
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of ``input_ids`` and ``labels``. ``tokens`` are those of ``train``."""

    train: Dataset
    test: Dataset | None
    tokens: int


def load(folder: Path, wanted: DatasetSection, tokenizer: Tokenizer, window: int, work: Path) -> Data:
    """What is below ``folder``, each row of at most ``window`` tokens; ``work`` is where it is kept meanwhile.

    Raises TuningError.
    """
    files, extension = _files(folder, wanted)
    builder, options = _BUILDERS[extension]
    _log.info("data.found", files=[str(file) for file in files])
    names = ", ".join(file.name for file in files)
    given: dict[str, Any] = {"data_files": [str(file) for file in files], "cache_dir": str(work), **options}
    try:
        if builder == "csv":  # all of it is text: 007 is no number, NA is not nothing
            given |= {"features": _texts(files[0], options["sep"]), "keep_default_na": False}
        rows = load_dataset(builder, split="train", **given)
    except (DatasetGenerationError, StopIteration, ValueError, TypeError, OSError) as error:
        if isinstance(error, StopIteration) or "corresponds to no data" in str(error):
            raise TuningError("DataInvalid", f"{names}: there is no row.") from error
        cause = error.__cause__ or error
        raise TuningError("DataInvalid", f"{names} cannot be read as {extension}: {first_line(cause)}.") from error
    if not len(rows):
        raise TuningError("DataInvalid", f"{names}: there is no row.")
    read = columns(rows.column_names, wanted)
    most = min(window, wanted.max_length or window)
    try:
        learned = Dataset.from_generator(
            _learned,
            gen_kwargs={"rows": rows, "read": read, "tokenizer": tokenizer, "most": most, "wanted": wanted},
            features=_FEATURES,
            cache_dir=str(work),
            fingerprint=hashlib.sha256(f"{rows._fingerprint} {read} {most} {wanted}".encode()).hexdigest(),
        )
    except DatasetGenerationError as error:
        raise error.__cause__ if isinstance(error.__cause__, TuningError) else error  # noqa: B904 - it has one
    return _split(learned, wanted)


def _texts(file: Path, separator: str) -> Features:
    """The columns that the first line names."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        return Features({name: Value("string") for name in next(csv.reader(lines, delimiter=separator), [])})


def _files(folder: Path, wanted: DatasetSection) -> tuple[list[Path], str]:
    """The files, all of one format."""
    if wanted.dataset_path:
        at = folder / wanted.dataset_path
        if not at.exists():
            raise TuningError("DataInvalid", f"DatasetConfig.dataset_path is {at}, and there is no such file.")
    else:
        at = folder
    found = [at] if at.is_file() else sorted(it for it in at.rglob("*") if it.is_file() and it.name[0] != ".")
    named = [it for it in found if it.suffix[1:].lower() in _BUILDERS]
    extension = (wanted.dataset_extension or "").lstrip(".").lower()
    if extension and extension not in _BUILDERS:
        raise TuningError(
            "ConfigInvalid", f"DatasetConfig.dataset_extension is {extension}; it can be {', '.join(_BUILDERS)}."
        )
    if extension and len(found) == 1:
        return found, extension  # whatever it is called
    kinds = [extension] if extension else sorted({it.suffix[1:].lower() for it in named})
    files = [it for it in named if it.suffix[1:].lower() in kinds]
    if not files:
        names = ", ".join(it.name for it in found[:5]) or "nothing"
        raise TuningError(
            "DataInvalid",
            f"no {extension or ', '.join(_BUILDERS)} file is in {folder}: there is {names}. Give"
            " DatasetConfig.dataset_extension where a file is called otherwise.",
        )
    if any(_BUILDERS[kind] != _BUILDERS[kinds[0]] for kind in kinds):
        raise TuningError(
            "DataInvalid",
            f"{folder} has files of several formats ({', '.join(kinds)}): name one by DatasetConfig.dataset_extension.",
        )
    return files, kinds[0]


def _learned(
    rows: Dataset, read: Columns, tokenizer: Tokenizer, most: int, wanted: DatasetSection
) -> Iterator[dict[str, Any]]:
    cut = learned = 0
    for number, row in enumerate(rows):
        try:
            made = example(row, read, tokenizer, answers_only=wanted.completion_only_loss)
        except RowError as error:
            raise TuningError("DataInvalid", f"row {number + 1} of {len(rows)}: {first_line(error)}.") from error
        cut += len(made.ids) > most
        labels = made.labels[:most]
        if len(labels) < 2 or all(label == IGNORED for label in labels):
            continue
        learned += 1
        yield {"input_ids": made.ids[:most], "labels": labels}
    if not learned:
        raise TuningError("DataInvalid", f"all {len(rows)} rows have no answer within {most} tokens.")
    _log.info("data.read", rows=len(rows), cut=cut, without_an_answer=len(rows) - learned, most_tokens=most)


def _split(learned: Dataset, wanted: DatasetSection) -> Data:
    test = None
    if wanted.train_test_split < 1:
        if len(learned) < 2:
            raise TuningError("DataInvalid", "one row cannot be split: set DatasetConfig.train_test_split to 1.")
        held = min(max(1, round(len(learned) * (1 - wanted.train_test_split))), len(learned) - 1)
        parts = learned.train_test_split(test_size=held, seed=wanted.shuffle_seed, shuffle=wanted.shuffle_dataset)
        learned, test = parts["train"], parts["test"]
    elif wanted.shuffle_dataset:
        learned = learned.shuffle(seed=wanted.shuffle_seed)
    return Data(learned, test, sum(map(len, learned["input_ids"])))
