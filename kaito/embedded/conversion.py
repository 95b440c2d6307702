"""A GGUF file of the Llama family becomes what transformers reads from a directory.

Tensors, configuration and tokenizer are made from the file's own tables, without transformers: its
reading of a GGUF takes twice as long, and release 5.5 builds a wrong tokenizer from one (a BOS is added,
the end of a turn is not the end of the text, spaces are lost), after which the model talks nonsense at
full speed.

Weights are stored as float32. It is what the server computes in on a CPU, so loading casts nothing, and it
keeps the dequantised values exactly: bfloat16 would round them once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
)

# How many digits form one piece differs between tokenizers and shows in no other table of the file.
_SPLITS_DIGITS: Final = frozenset({"smollm"})
_CONTROL_TOKEN: Final = 3  # of llama.cpp's token types


class ConversionError(Exception):
    """The GGUF is of a kind that this module does not read right."""


def convert(source: Path, target: Path, recommended: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Write model.safetensors, config, generation config and tokenizer of ``source`` into ``target``.

    ``recommended`` goes into the generation config: how to choose tokens. ``progress`` is told (tensors done,
    tensors in all). Raises ConversionError.
    """
    reader = gguf.GGUFReader(source)
    table = {name: field.contents() for name, field in reader.fields.items()}
    if table["general.architecture"] != "llama" or table["tokenizer.ggml.model"] != "gpt2":
        raise ConversionError(
            f"{source.name} holds a {table['general.architecture']} model with a "
            f"{table['tokenizer.ggml.model']} tokenizer; only llama models with a gpt2 (byte-level BPE) tokenizer "
            "are converted"
        )
    config = _config(table, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    tokenizer, tokenizer_config = _tokenizer(table)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    weights: dict[str, NDArray[np.float32]] = {}
    for done, tensor in enumerate(reader.tensors):
        progress(done, len(reader.tensors))
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        part = tensor.name.split(".")[-2]
        weights[_transformers_name(tensor.name)] = _unpermuted(values, heads[part]) if part in heads else values
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)  # it comes as its owner's only, and others are to mount it
    progress(len(reader.tensors), len(reader.tensors))

    tokenizer.save(str(target / "tokenizer.json"))
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    for name, content in {
        "config.json": config,
        "generation_config.json": {**ends, **recommended},
        "tokenizer_config.json": tokenizer_config,
    }.items():
        (target / name).write_text(json.dumps(content, indent=2) + "\n")


def token_ids(directory: Path, text: str) -> list[int]:
    """The ids that the tokenizer in ``directory`` gives ``text``, and whatever it adds."""
    ids: list[int] = Tokenizer.from_file(str(directory / "tokenizer.json")).encode(text).ids
    return ids


def _config(table: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    width, heads = table["llama.embedding_length"], table["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": table["llama.vocab_size"],
        "hidden_size": width,
        "intermediate_size": table["llama.feed_forward_length"],
        "num_hidden_layers": table["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": table["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "max_position_embeddings": table["llama.context_length"],
        "rms_norm_eps": table["llama.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": table["llama.rope.freq_base"]},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": table["tokenizer.ggml.bos_token_id"],
        "eos_token_id": table["tokenizer.ggml.eos_token_id"],
        "pad_token_id": table["tokenizer.ggml.padding_token_id"],
    }


def _tokenizer(table: dict[str, Any]) -> tuple[Tokenizer, dict[str, Any]]:
    tokens: list[str] = table["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in table["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    if table["tokenizer.ggml.pre"] not in _SPLITS_DIGITS:
        raise ConversionError(f"no rule for the {table['tokenizer.ggml.pre']} way to split text before BPE")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = table["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])

    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    return tokenizer, {
        # By this name, transformers takes tokenizer.json as it is and lets no model type rebuild it.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": table["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": table["tokenizer.chat_template"],
        **{name: tokens[table[f"tokenizer.ggml.{kind}_token_id"]] for name, kind in names.items()},
    }


_LAYER_PARTS: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER_PARTS: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def _transformers_name(name: str) -> str:
    """``blk.3.attn_q.weight`` is ``model.layers.3.self_attn.q_proj.weight``."""
    match name.split("."):
        case ["blk", layer, part, "weight"] if part in _LAYER_PARTS:
            return f"model.layers.{layer}.{_LAYER_PARTS[part]}.weight"
    if name not in _OTHER_PARTS:
        raise ConversionError(f"no place in a Llama model for the tensor {name}")
    return _OTHER_PARTS[name]


def _unpermuted(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo the row order that GGUF gives query and key weights; shape [heads * head_dim, width].

    Rotary embedding pairs the two halves of a head; GGUF interleaves them, transformers has one after the other.
    """
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, values.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))
