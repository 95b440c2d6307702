"""What continues tokens: the small interface of an engine, and the engine that runs a model with
transformers.

An engine sees token ids only. All that is text (templates, windows, what a client gets back) is the
pipeline's, so that another engine, such as one that batches continuously, is one more class with a
``generate``. torch and transformers are imported when a model is loaded: they take seconds, and the port
is to open at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from serving.chat import GenerateOptions

if TYPE_CHECKING:
    import torch

DTYPES: Final = ("auto", "float32", "float16", "bfloat16")

_log = structlog.get_logger()


class ModelError(Exception):
    """The model cannot be loaded; the message is one line that says why and what to look at."""


class Engine(Protocol):
    """One loaded model. ``generate`` may be called from many threads at once."""

    @property
    def window(self) -> int:
        """The most tokens, prompt and answer together, that the model can hold."""

    def generate(self, ids: Sequence[int], options: GenerateOptions, new_tokens: int) -> list[int]:
        """Continue ``ids`` by at most ``new_tokens``; returns the new ones, an end token included."""


class TransformersEngine:
    """A causal language model by transformers, one generation at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, weights: Path, dtype: str, *, change: Callable[[Any], Any] = lambda it: it, divided: bool = False
    ) -> TransformersEngine:
        """Load the safetensors in ``weights``; ``dtype`` is one of DTYPES. Raises ModelError.

        ``change`` is given the model before it serves; ``divided``: only this process's part, as all processes that
        torchrun has started hold one together.
        """
        with _without_sklearn():
            import torch
            from huggingface_hub.errors import StrictDataclassError
            from safetensors import SafetensorError
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        logging.disable_progress_bar()
        logging.set_verbosity_error()  # what it warns of is refused here
        chosen = _dtype(dtype)
        place = {"tp_plan": "auto"} if divided else {"device_map": "auto"} if torch.cuda.is_available() else {}
        # What broken or missing files, unknown architectures and a model too large for its GPU raise.
        broken = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError, StrictDataclassError)
        try:
            model, found = AutoModelForCausalLM.from_pretrained(
                weights,
                dtype=chosen,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **place,
            )
        except broken as error:
            raise ModelError(f"the weights in {weights} cannot be loaded: {first_line(error)}") from error
        # transformers fills what a file lacks with random numbers, and only warns.
        if lacking := sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}):
            raise ModelError(f"the weights in {weights} lack {len(lacking)} tensors, the first {lacking[0]}")
        model = change(model)
        _log.info("model.loaded", dtype=str(chosen), device=str(model.device), threads=torch.get_num_threads())
        return cls(model.eval())

    @property
    def window(self) -> int:
        return int(self._model.config.max_position_embeddings)

    def generate(self, ids: Sequence[int], options: GenerateOptions, new_tokens: int) -> list[int]:
        import torch

        prompt = torch.tensor([list(ids)], device=self._model.device)
        with self._lock, torch.inference_mode():
            output = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=new_tokens,
                **_arguments(options),
            )
        return [int(token) for token in output[0, len(ids) :]]


def _arguments(options: GenerateOptions) -> dict[str, Any]:
    """What transformers' ``generate`` is told; what does not apply is left out, for it warns of each."""
    names = ["repetition_penalty", "no_repeat_ngram_size"]
    names.append("min_length" if options.min_new_tokens is None else "min_new_tokens")
    if options.samples:
        names += ["temperature", "top_k", "top_p", "typical_p", "min_p"]
    if options.num_beams > 1:
        names += ["early_stopping", "length_penalty"]
    return {
        "do_sample": options.samples,
        "num_beams": options.num_beams,
        **{name: getattr(options, name) for name in names},
    }


def _dtype(wanted: str) -> torch.dtype:
    """The precision to compute in: what was asked for, or what the hardware is good at.

    On a CPU that is float32: bfloat16 is slower for several prompts at once where there is no hardware for it
    (37 tokens/s against 60 for eight), and no faster where there is (15 against 16 for one).
    """
    import torch

    if wanted != "auto":
        if wanted != "float32" and not torch.cuda.is_available():
            _log.warning("model.dtype", asked=wanted, note="auto would choose float32 on a CPU")
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[wanted]
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """Hide scikit-learn: transformers takes a second to import it, for a kind of decoding not used here."""
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # documented: an import of it fails
    try:
        import transformers.generation.utils  # noqa: F401 - where the question is asked

        yield
    finally:
        del sys.modules["sklearn"]


def first_line(error: BaseException) -> str:
    """An exception in one line; the cause where there is one, for that says more."""
    error = error.__cause__ or error
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
