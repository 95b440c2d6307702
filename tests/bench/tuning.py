"""``make bench-tuning``: our trainer beside TRL's SFTTrainer, on the same model, data and settings, in one run.

Each tunes in a process of its own, one after the other, ROUNDS times; what counts is the median of the tokens trained a
second, padding not counted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROUNDS: Final = 3
ROWS: Final = 24
_BATCH: Final = 4
_SEED: Final = 42
_LORA: Final = {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0}
_QUANTIZATION: Final = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
_ARGUMENTS: Final = {
    "per_device_train_batch_size": _BATCH,
    "num_train_epochs": 1,
    "learning_rate": 1e-4,
    "save_strategy": "no",
    "seed": _SEED,
}
_WORDS: Final = ("river", "stone", "lantern", "orchard", "winter", "copper", "sailor", "garden", "market", "thunder")


def data(file: Path) -> None:
    """Chats of 20 to 200 words, the same each time."""
    chance = random.Random(_SEED)
    with file.open("w") as out:
        for _ in range(ROWS):
            asked, told = (" ".join(chance.choices(_WORDS, k=chance.randint(10, 100))) for _ in range(2))
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
            out.write(json.dumps({"messages": turns}) + "\n")


def ours(method: str, weights: Path, folder: Path) -> dict[str, Any]:
    import yaml

    from kaito.api.training import Method
    from training import settings
    from training.train import Asked, train

    config = {"LoraConfig": _LORA, "TrainingArguments": _ARGUMENTS}
    if method == "qlora":
        config["QuantizationConfig"] = _QUANTIZATION
    file = folder / "training_config.yaml"
    file.write_text(yaml.safe_dump({"training_config": config}))
    how: Method = "qlora" if method == "qlora" else "lora"
    found = settings.read(file, how, folder / "ours")
    asked = Asked(weights, "smollm2", folder / "data", found, folder / "work")
    made = train(asked, lambda _: None)
    return {"seconds": made.reached.seconds, "loss": made.reached.loss}


def trl(method: str, weights: Path, folder: Path) -> dict[str, Any]:
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    from training.progress import Reporter

    quantization = None
    if method == "qlora":
        quantization = BitsAndBytesConfig(**_QUANTIZATION, bnb_4bit_compute_dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForCausalLM.from_pretrained(
        weights, dtype=torch.float32, quantization_config=quantization, attn_implementation="sdpa", device_map="cpu"
    )
    given = {**_ARGUMENTS, "output_dir": str(folder / "trl"), "report_to": [], "use_cpu": True, "logging_steps": 1}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**given, bf16=False, gradient_checkpointing=False, disable_tqdm=True),
        train_dataset=load_dataset("json", data_files=str(folder / "data" / "chats.jsonl"), split="train"),
        processing_class=tokenizer,
        peft_config=LoraConfig(**_LORA, task_type="CAUSAL_LM"),
    )
    reporter = Reporter(0, lambda _: None)
    trainer.add_callback(reporter)
    trainer.train()
    return {"seconds": reporter.reached.seconds, "loss": reporter.reached.loss}


def tokens(weights: Path, folder: Path) -> int:
    """Of all chats, by the model's template."""
    from training.data import load
    from training.model import tokenizer
    from training.settings import DatasetSection

    return load(folder / "data", DatasetSection(), tokenizer(weights, None), 8192, folder / "work").tokens


def main() -> None:
    from kaito.embedded.cache import cache_dir
    from kaito.embedded.models import SMOLLM2, ModelStore

    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=3, metavar=("WHO", "METHOD", "FOLDER"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    flags = parser.parse_args()
    content = ModelStore(cache_dir()).resolve(SMOLLM2.image)
    assert content is not None, "make models"
    weights = content / "weights"
    if flags.one:
        who, method, folder = flags.one
        found = (ours if who == "ours" else trl)(method, weights, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(json.dumps({**found, "peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory(prefix="kaito-bench-") as scratch:
        _compare(Path(scratch), weights, flags.rounds)


def _compare(scratch: Path, weights: Path, rounds: int) -> None:
    (scratch / "data").mkdir()
    data(scratch / "data" / "chats.jsonl")
    trained = tokens(weights, scratch)
    figures: dict[str, Any] = {}
    peaks: dict[tuple[str, str], int] = {}
    for method in ("lora", "qlora"):
        rates: dict[str, list[float]] = {"ours": [], "trl": []}
        for _ in range(rounds):
            for who, seen in rates.items():
                one = _one(who, method, scratch)
                seen.append(trained / one["seconds"])
                peaks[who, method] = max(peaks.get((who, method), 0), one["peak_mb"])
                rate, loss, peak = f"{seen[-1]:6.1f} tokens/s", f"last loss {one['loss']:.3f}", f"{one['peak_mb']} MB"
                print(f"{method:5} {who:4} {rate}, {loss}, peak {peak}", flush=True)
        figures[f"{method}_ratio"] = round(statistics.median(rates["ours"]) / statistics.median(rates["trl"]), 3)
        figures[f"{method}_tokens_per_second"] = round(statistics.median(rates["ours"]), 1)
    figures["peak_mb"] = max(peaks["ours", method] for method in ("lora", "qlora"))
    figures["trl_peak_mb"] = max(peaks["trl", method] for method in ("lora", "qlora"))
    print(json.dumps(figures))


def _one(who: str, method: str, scratch: Path) -> dict[str, Any]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    argv = [sys.executable, "-m", "tests.bench.tuning", "--one", who, method, str(scratch)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{who} {method} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
