"""``python -m training``: the tuning Job's middle container. Several processes of it are one a GPU."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final, get_args

import structlog
from rich.console import Console

from kaito.api.training import Method
from training.failure import EXIT_CODE, TuningError
from training.log import configure
from training.words import last_words, said_last

_STAGE: Final = "train"


def main(arguments: list[str] | None = None) -> None:
    """Tune; exits with EXIT_CODE and a sentence where only a person can help."""
    parser = argparse.ArgumentParser(prog="training", description="Tune a model by LoRA, and leave the adapter.")
    parser.add_argument("--weights", type=Path, required=True, help="directory of config, tokenizer and safetensors")
    parser.add_argument("--name", help="what the adapter says that it is of; the weights' directory by default")
    parser.add_argument(
        "--data", type=Path, required=True, help="directory of json, jsonl, csv, parquet or arrow files"
    )
    parser.add_argument("--config", type=Path, required=True, help="a training_config.yaml")
    parser.add_argument("--method", type=str.lower, choices=get_args(Method), default="qlora")
    parser.add_argument("--output", type=Path, help="in the place of the configuration's output_dir")
    flags = parser.parse_args(arguments)
    leads = os.environ.get("RANK", "0") == "0"
    configure(quiet=not leads)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of libraries: this is told by us
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        _tune(flags, leads=leads)
    except TuningError as error:
        last_words(_STAGE, error.reason, str(error), permanent=True)
        structlog.get_logger().error("training.failed", reason=error.reason, message=str(error))
        sys.exit(EXIT_CODE)
    except BaseException as error:
        if not said_last().get("permanent"):  # another process' failure is what made this one fail
            last_words(_STAGE, "TrainingFailed", f"{type(error).__name__}: {error}")
        raise


def _tune(flags: argparse.Namespace, *, leads: bool) -> None:
    if not (flags.weights / "config.json").is_file():
        raise TuningError("ModelInvalid", f"there is no model in {flags.weights}: it has no config.json.")
    from training import progress, settings  # which take seconds
    from training.train import Asked, train

    found = settings.read(flags.config, flags.method, flags.output)
    address = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "5000"))  # noqa: S104 - a pod's
    with tempfile.TemporaryDirectory(prefix="training-") as work:
        made = train(
            Asked(flags.weights, flags.name or flags.weights.name, flags.data, found, Path(work)),
            progress.teller(Console(stderr=True)) if leads else lambda _: None,
            lambda reporter: leads and progress.serve(address, lambda: reporter.reached),
        )
    if leads:
        done = {"adapter": str(made.adapter), "peak_mb": made.peak, "loss": made.reached.loss}
        structlog.get_logger().info("training.done", **done, seconds=made.reached.seconds)
        last_words(_STAGE, "Trained", json.dumps(done))


if __name__ == "__main__":
    main()
