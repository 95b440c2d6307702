"""A tuning of a model of a few numbers, whose tokenizer knows letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from training.settings import read
from training.train import Asked

TEMPLATE = (
    "{% for turn in messages %}{{ turn['role'][0] }}:{{ turn['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
#: A number a letter: the model has 32.
LETTERS = {letter: number for number, letter in enumerate(["<end>", "<unk>", *"abcdefghijklmnopqrstuvwxyz :?\n"])}
#: Unlike each other, so that the order in which they are learned shows.
ROWS = [
    {"prompt": letter * 3, "completion": letter.upper().lower() * (2 + number)}
    for number, letter in enumerate("abcdefgh")
]
ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors"}


def make_tokenizer(folder: Path, template: str | None = TEMPLATE) -> Any:
    """Letter by letter, saved in ``folder``."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(BPE(vocab=LETTERS, merges=[], unk_token="<unk>"))
    made = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<end>", unk_token="<unk>")
    made.chat_template = template
    made.save_pretrained(folder)
    return made


def make_weights(folder: Path) -> Path:
    from tests.unit.serving.tiny import make_model

    make_model(folder, scale=2)
    make_tokenizer(folder)
    return folder


def config(method: str = "lora", **sections: dict[str, Any]) -> str:
    """A training_config.yaml, its sections by short names."""
    named = {
        "ModelConfig": sections.get("model", {}),
        "QuantizationConfig": sections.get("quantization", {"load_in_4bit": True} if method == "qlora" else {}),
        "LoraConfig": {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"], **sections.get("lora", {})},
        "TrainingArguments": {"learning_rate": 0.01, **sections.get("arguments", {})},
        "DatasetConfig": sections.get("dataset", {}),
        "DataCollator": sections.get("collator", {}),
    }
    return yaml.safe_dump({"training_config": named})


def write_rows(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def asked(weights: Path, folder: Path, method: Any = "lora", **sections: dict[str, Any]) -> Asked:
    """To tune by these sections; the results go to ``folder / results``."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config(method, **sections))
    settings = read(folder / "config.yaml", method, folder / "results")
    return Asked(weights, "tiny", write_rows(folder / "data"), settings, folder / "work")
