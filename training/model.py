"""The model that is tuned: its weights as the hardware computes them best, and LoRA's matrices on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import structlog
import torch

from training.failure import TuningError, first_line
from training.settings import Settings, built

#: Architectures for which PEFT knows no modules of its own accord: the attention's and the feed-forward's.
_MODULES: Final = {"phi3": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]}
#: The files of which at least one is a tokenizer's: without them the library makes one up that knows no words.
_VOCABULARIES: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tekken.json")
_log = structlog.get_logger()


def tokenizer(weights: Path, chat_template: str | None) -> Any:
    """The one beside the weights; with the chat template in that file, where one is named. Raises TuningError."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any((weights / name).is_file() for name in _VOCABULARIES):
        raise TuningError(
            "ModelInvalid", f"there is no tokenizer in {weights}: it has none of {', '.join(_VOCABULARIES)}."
        )
    try:
        try:
            found = AutoTokenizer.from_pretrained(weights, local_files_only=True)
        except ValueError:
            found = PreTrainedTokenizerFast.from_pretrained(weights, local_files_only=True)
        if chat_template:
            found.chat_template = Path(chat_template).read_text()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TuningError(
            "ModelInvalid", f"the tokenizer in {weights} cannot be loaded: {first_line(error)}."
        ) from error
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def model(weights: Path, settings: Settings) -> Any:
    """A PEFT model, ready to be trained. Raises TuningError."""
    from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = computing(settings.model.torch_dtype)
    quantization = None
    if settings.quantization.get("load_in_4bit") or settings.quantization.get("load_in_8bit"):
        given = {**settings.quantization, "bnb_4bit_compute_dtype": dtype}
        quantization = built("QuantizationConfig", BitsAndBytesConfig, given)
    try:
        base = AutoModelForCausalLM.from_pretrained(
            weights,
            local_files_only=True,
            dtype=dtype,
            quantization_config=quantization,
            attn_implementation=settings.model.attn_implementation,
            device_map=_device_map(settings.model.device_map),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise TuningError("ModelInvalid", f"the model in {weights} cannot be loaded: {first_line(error)}.") from error
    base.config.use_cache = False  # of generation: training needs none
    checkpointing = bool(settings.arguments.get("gradient_checkpointing"))
    if quantization is not None:
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=checkpointing)
    elif checkpointing:
        base.enable_input_require_grads()
    lora = {"target_modules": _MODULES.get(base.config.model_type), **settings.lora, "task_type": TaskType.CAUSAL_LM}
    config = built("LoraConfig", LoraConfig, lora)
    try:
        tuned = get_peft_model(base, config)
    except ValueError as error:
        raise TuningError("ConfigInvalid", f"LoraConfig does not fit this model: {first_line(error)}.") from error
    trained, whole = tuned.get_nb_trainable_parameters()
    said = {"asked": settings.model.torch_dtype, "computes": str(dtype), "device": str(base.device)}
    _log.info("model.loaded", **said, parameters=whole, trained=trained)
    return tuned


def computing(wanted: str) -> torch.dtype:
    """What is computed in. Without the hardware for it bfloat16 is thirty times as slow as float32."""
    name = wanted.removeprefix("torch.")
    named = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if name != "auto" and name not in named:
        raise TuningError(
            "ConfigInvalid", f"ModelConfig.torch_dtype is {wanted}; it must be {', '.join(named)} or auto."
        )
    if not torch.cuda.is_available():
        return torch.float32
    chosen = named.get(name, torch.bfloat16)
    fast = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if chosen == torch.bfloat16 and not fast else chosen


def _device_map(wanted: Any) -> Any:
    """One process a GPU holds the whole model on its own."""
    if not torch.cuda.is_available():
        return {"": "cpu"}
    return {"": int(os.environ["LOCAL_RANK"])} if "LOCAL_RANK" in os.environ else wanted
