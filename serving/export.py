"""``python -m serving.export WEIGHTS``: the model in OpenVINO's format, with int8 weights, beside its safetensors.

It takes half a minute and a gigabyte for the small model, once: where a model image is made, not where it starts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from serving.backends.openvino import DETOKENIZER, FOLDER, TOKENIZER, is_exported
from serving.engine import ModelError, first_line
from serving.tokenizer import read_tokenizer


def export(weights: Path) -> None:
    """Write it, unless it is there already; it is there whole or not at all. Raises ModelError."""
    if is_exported(weights):
        return
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    with tempfile.TemporaryDirectory(prefix=".openvino-", dir=weights) as work:
        made = Path(work) / FOLDER
        try:
            model = OVModelForCausalLM.from_pretrained(
                weights,
                export=True,
                compile=False,
                quantization_config=OVWeightQuantizationConfig(bits=8),
                local_files_only=True,
            )
            model.save_pretrained(made)
            tokenizer = read_tokenizer(weights)
            for name, part in zip(
                (TOKENIZER, DETOKENIZER), convert_tokenizer(tokenizer, with_detokenizer=True), strict=True
            ):
                openvino.save_model(part, made / name)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"the model in {weights} cannot be exported: {first_line(error)}") from error
        made.rename(weights / FOLDER)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="serving.export", description="Export a model for OpenVINO, once.")
    parser.add_argument("weights", type=Path, help="directory of config, tokenizer and safetensors")
    try:
        export(parser.parse_args(arguments).weights)
    except ModelError as error:
        sys.exit(f"serving.export: {error}")


if __name__ == "__main__":
    main()
