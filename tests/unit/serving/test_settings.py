"""The settings file: what it may say, and what it is told otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.chat import GenerateOptions
from serving.engine import ModelError
from serving.settings import Settings, read


def written(folder: Path, text: str) -> Path:
    file = folder / "inference_config.yaml"
    file.write_text(text)
    return file


def test_it_says_how_to_serve(tmp_path: Path) -> None:
    found = read(
        written(
            tmp_path,
            "transformers:\n  torch_dtype: bfloat16\n  generate_kwargs: {max_new_tokens: 7, temperature: 0.5}\n",
        )
    )
    assert (found.torch_dtype, found.pipeline) == ("bfloat16", None)
    assert found.generate_kwargs.over(GenerateOptions(top_k=3)) == GenerateOptions(
        top_k=3, max_new_tokens=7, temperature=0.5
    )


def test_what_is_for_another_runtime_is_left_alone(tmp_path: Path) -> None:
    assert read(written(tmp_path, "max_probe_steps: 6\nvllm: {gpu-memory-utilization: 0.9}\n")) == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "cannot be read"),
        ("- a", "holds no settings"),
        ("transformers: {dtype: auto}", "transformers.dtype: .*known are torch_dtype, quantization, pipeline"),
        ("transformers: {torch_dtype: int8}", "transformers.torch_dtype: Input should be 'auto'"),
        ("transformers: {generate_kwargs: {max_tokens: 7}}", "generate_kwargs.max_tokens: .*known are max_length"),
        ("transformers: 7", "transformers: "),
        ("transformers: {adapters: none}", "transformers.adapters: Input should be 'merged' or 'per-request'"),
        ("transformers: {combination_type: sum}", "transformers.combination_type: Input should be 'svd', 'linear'"),
        ("transformers: {combination_type: svd, adapters: per-request}", "makes one adapter of all; leave it out"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read(tmp_path / "inference_config.yaml")
