"""torch: a model run by transformers, on GPUs or a CPU, in a batch where that can be, or one generation at a time.

torch and transformers are imported when a model is loaded: they take seconds, and the port is to open at once.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from serving.backends.batching import Batching, Job
from serving.chat import GenerateOptions
from serving.engine import ModelError, Stream, Token, first_line
from serving.metrics import BATCH, GPU_MEMORY
from serving.tokenizer import read_tokenizer

if TYPE_CHECKING:
    import torch

DTYPES: Final = ("auto", "float32", "float16", "bfloat16")
#: As ``transformers serve`` calls them.
Quantization = Literal["bnb-4bit", "bnb-8bit"]

_log = structlog.get_logger()


class TransformersEngine:
    """A causal language model by transformers."""

    def __init__(self, model: Any, weights: Path, name: str, batching: Batching | None) -> None:
        self._model = model
        self._grammars = _Grammars(weights, int(model.config.vocab_size))
        self._lock = threading.Lock()
        self._adapted: Callable[[], AbstractContextManager[None]] = nullcontext
        self._running = BATCH.labels(name)
        self._batching = batching

    @classmethod
    def load(
        cls,
        weights: Path,
        dtype: str,
        *,
        name: str = "model",
        change: Callable[[Any], Any] = lambda it: it,
        divided: bool = False,
        quantization: Quantization | None = None,
        batched: bool = True,
    ) -> TransformersEngine:
        """Load the safetensors in ``weights``; ``dtype`` is one of DTYPES. Raises ModelError.

        ``name`` is what metrics call it; ``change`` is given the model before it serves; ``divided``: only this
        process's part, as all processes that torchrun has started hold one together; ``quantization``: what the weights
        are made into, by bitsandbytes; ``batched``: not where ``with_adapter`` is to follow.
        """
        with _without_sklearn():
            import torch
            from huggingface_hub.errors import StrictDataclassError
            from safetensors import SafetensorError
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        logging.disable_progress_bar()
        getLogger("bitsandbytes").setLevel("ERROR")  # it tells of each product that it casts
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
                quantization_config=_quantized(quantization, chosen),
                **place,
            )
        except broken as error:
            raise ModelError(f"the weights in {weights} cannot be loaded: {first_line(error)}") from error
        # transformers fills what a file lacks with random numbers, and only warns.
        if lacking := sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}):
            raise ModelError(f"the weights in {weights} lack {len(lacking)} tensors, the first {lacking[0]}")
        model = change(model)
        _log.info(
            "model.loaded",
            backend="torch",
            dtype=str(chosen),
            quantization=quantization,
            device=str(model.device),
            threads=torch.get_num_threads(),
        )
        for gpu in range(torch.cuda.device_count()):
            GPU_MEMORY.labels(str(gpu)).set_function(partial(torch.cuda.memory_reserved, gpu))
        model.eval()
        # A layer of 8 bits takes its weights' scales to itself, where one that shares the weights finds them no more.
        alone = divided or not batched or quantization == "bnb-8bit"
        return cls(model, weights, name, None if alone else _batching(model, name))

    def with_adapter(self, label: str | None, name: str) -> TransformersEngine:
        """The same model with that adapter of those beside its weights, as PEFT calls it; None: with none of them."""
        other = copy.copy(self)
        other._adapted = self._model.disable_adapter if label is None else partial(_active, self._model, label)
        other._running = BATCH.labels(name)
        return other

    @property
    def window(self) -> int:
        return int(self._model.config.max_position_embeddings)

    def generate(
        self, ids: Sequence[int], options: GenerateOptions, new_tokens: int, likeliest: int | None = None
    ) -> Stream:
        if self._batching is not None and options.num_beams == 1 and self._batching.fits(len(ids) + new_tokens):
            return self._begin(list(ids), options, new_tokens, likeliest)
        stream = Stream()
        # A thread each, which waits for its turn: transformers says what it makes by calling back.
        threading.Thread(
            target=self._run, args=(stream, list(ids), options, new_tokens, likeliest), name="generation", daemon=True
        ).start()
        return stream

    def _begin(self, ids: list[int], options: GenerateOptions, new_tokens: int, likeliest: int | None) -> Stream:
        """In the batch, by the processors that ``generate`` would have."""
        import torch
        from transformers import LogitsProcessorList

        assert self._batching is not None
        model, odds = self._model, None if likeliest is None else _Odds(likeliest)
        config = copy.deepcopy(model.generation_config)
        config.update(**_arguments(options))
        model._prepare_special_tokens(config, device=model.device)
        own = LogitsProcessorList(self._processors(odds, options))
        process = model._get_logits_processor(config, len(ids), logits_processor=own, device=model.device)
        dice = torch.Generator(model.device)
        if options.seed is None:
            dice.seed()
        else:
            dice.manual_seed(options.seed)

        def choose(scores: torch.Tensor) -> int:
            if options.samples:
                return int(torch.multinomial(scores.softmax(-1), 1, generator=dice))
            return int(scores.argmax())

        room = torch.tensor([*ids, *[0] * new_tokens], device=model.device)
        job = Job(Stream(), room, len(ids), process, choose, Token if odds is None else odds.of)
        self._batching.add(job)
        return job.stream

    def _processors(self, odds: _Odds | None, options: GenerateOptions) -> list[Any]:
        """Those beside transformers' own."""
        processors: list[Any] = [] if odds is None else [odds]
        if options.json_schema is not None:
            processors.append(self._grammars.held_to(options.grammar))
        return processors

    def _run(
        self, stream: Stream, ids: list[int], options: GenerateOptions, new_tokens: int, likeliest: int | None
    ) -> None:
        try:
            with self._lock, self._running.track_inprogress():
                self._continue(stream, ids, options, new_tokens, likeliest)
        except BaseException as error:
            stream.end(error)
            raise
        stream.end()

    def _continue(
        self, stream: Stream, ids: list[int], options: GenerateOptions, new_tokens: int, likeliest: int | None
    ) -> None:
        import torch

        if options.seed is not None:
            torch.manual_seed(options.seed)
        prompt = torch.tensor([ids], device=self._model.device)
        alone = options.num_beams == 1  # of several beams none is the answer before the end
        odds = None if likeliest is None else _Odds(likeliest)
        with torch.inference_mode(), self._adapted():
            output = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=new_tokens,
                streamer=_Streamer(stream, len(ids), odds) if alone else None,
                logits_processor=self._processors(odds, options),
                stopping_criteria=[lambda *_, **__: torch.tensor([stream.closed], device=prompt.device)],
                **_arguments(options),
            )
        if not alone:
            for token in output[0, len(ids) :]:
                stream.put(Token(int(token)))


@contextmanager
def _active(model: Any, label: str) -> Iterator[None]:
    model.set_adapter(label)  # and no other; whoever is next says which
    yield


def _batching(model: Any, name: str) -> Batching | None:
    """None for what transformers cannot batch: layers of other kinds, and a model on several GPUs."""
    if len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1:
        return None
    ends = model.generation_config.eos_token_id
    try:
        return Batching(model, ends if isinstance(ends, list) else [] if ends is None else [ends], name)
    except (ValueError, KeyError, AttributeError, NotImplementedError, RuntimeError) as error:
        _log.warning("batching.unavailable", reason=first_line(error))
        return None


class _Streamer:
    """What transformers calls with the prompt first, and then with each token."""

    def __init__(self, stream: Stream, prompt: int, odds: _Odds | None) -> None:
        self._stream, self._left, self._odds = stream, prompt, odds

    def put(self, tokens: Any) -> None:
        for token in tokens.flatten().tolist():
            if self._left:
                self._left -= 1
            else:
                self._stream.put(Token(token) if self._odds is None else self._odds.of(token))

    def end(self) -> None:
        """Said by ``generate`` returning, too."""


class _Odds:
    """How likely the model has found each token, before it is chosen by temperature, top_p and a grammar."""

    def __init__(self, likeliest: int) -> None:
        self._likeliest = likeliest
        self._last: torch.Tensor | None = None

    def __call__(self, _: Any, scores: Any) -> Any:
        """As transformers calls a LogitsProcessor, before each token."""
        self._last = scores[0].float().log_softmax(-1)
        return scores

    def of(self, token: int) -> Token:
        """The token that has been chosen then."""
        assert self._last is not None
        values, ids = self._last.topk(self._likeliest)
        return Token(token, self._last[token].item(), tuple(zip(ids.tolist(), values.tolist(), strict=True)))


class _Grammars:
    """What tokens may come next where an answer is held to a schema: by xgrammar, which openvino_genai has built in."""

    def __init__(self, weights: Path, vocabulary: int) -> None:
        self._weights, self._vocabulary = weights, vocabulary

    def held_to(self, schema: str) -> Any:
        """For one generation."""
        from xgrammar.contrib.hf import LogitsProcessor

        return LogitsProcessor(self._compiler.compile_json_schema(schema))

    @cached_property
    def _compiler(self) -> Any:
        import xgrammar

        tokenizer = read_tokenizer(self._weights)
        return xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=self._vocabulary))


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


def _quantized(wanted: Quantization | None, computes: torch.dtype) -> Any:
    """Weights of 4 bits (nf4, its constants quantized too) or 8; the rest is computed in that precision."""
    from transformers import BitsAndBytesConfig

    if wanted == "bnb-4bit":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=computes,
        )
    return BitsAndBytesConfig(load_in_8bit=True) if wanted == "bnb-8bit" else None


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
