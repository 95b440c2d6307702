"""OpenVINO: all requests in one batch, on a CPU, by openvino_genai's continuous batching.

It reads the model as ``python -m serving.export`` has written it beside the weights: with int8 weights, computed in
float32. (In bfloat16, which it would take where the hardware has that, the small model's likeliest tokens are others.)
Blocks of the cache that prompts share, a system prompt or the turns of a chat, are computed once.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import structlog

from serving.chat import GenerateOptions, RequestError
from serving.engine import ModelError, Stream, Token, first_line
from serving.lora import Lora
from serving.metrics import BATCH, CACHE

#: Beside the weights.
FOLDER: Final = "openvino"
#: In it; a model exported without one answers, too, but not by a grammar.
TOKENIZER: Final = "openvino_tokenizer.xml"
DETOKENIZER: Final = "openvino_detokenizer.xml"
#: Activations are quantized in the groups that it takes by itself: the next token is what it is without (96.5 % of 462
#: are float32's). Groups of 64 are an eighth faster and lose 0.7 % of the tokens, of 192 a sixth and 4.5 %.
_PROPERTIES: Final = {"INFERENCE_PRECISION_HINT": "f32"}
#: Tokens a step computes at most: a long prompt comes in pieces, between which others go on.
_BATCHED_TOKENS: Final = 512
_log = structlog.get_logger()


def is_exported(weights: Path) -> bool:
    """Is the model there in OpenVINO's format?"""
    return (weights / FOLDER / "openvino_model.xml").is_file()


class OpenVinoEngine:
    """One thread steps; what is asked of it and what is closed it sees between two steps."""

    def __init__(self, pipeline: Any, window: int, ends: set[int], name: str, *, grammars: bool) -> None:
        self._pipeline, self._window, self._ends, self._grammars = pipeline, window, ends, grammars
        self._batch, self._cache = BATCH.labels(name), CACHE.labels(name)
        self._changed = threading.Condition()
        self._asked: list[tuple[Stream, Any, Any]] = []
        threading.Thread(target=self._run, name="openvino", daemon=True).start()

    @classmethod
    def load(cls, weights: Path, name: str = "model", adapters: Sequence[Lora] = ()) -> OpenVinoEngine:
        """The model with all of these ``adapters``; ``name`` is what metrics call it. Raises ModelError.

        Each adapter that requests choose is an engine of its own: one that can change them has them no request for
        itself, and the cache of one is nothing to another. Weights are mapped into memory, which they share.
        """
        import openvino_genai

        properties: dict[str, Any] = dict(_PROPERTIES)
        if adapters:
            # Constants of what is compiled: the one way that works on int8 weights, for all requests of a batch.
            config = openvino_genai.AdapterConfig(mode=openvino_genai.AdapterConfig.Mode.MODE_STATIC)
            for adapter in adapters:
                config.add(openvino_genai.Adapter(adapter.file), adapter.scale)
            properties["adapters"] = config
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.max_num_batched_tokens = _BATCHED_TOKENS
        try:
            pipeline = openvino_genai.ContinuousBatchingPipeline(weights / FOLDER, scheduler, "CPU", properties)
            window = int(json.loads((weights / "config.json").read_text())["max_position_embeddings"])
            generation = openvino_genai.GenerationConfig(weights / "generation_config.json")
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError(f"the model in {weights / FOLDER} cannot be loaded: {first_line(error)}") from error
        ends = {token for token in (*generation.stop_token_ids, generation.eos_token_id) if token >= 0}
        _log.info("model.loaded", backend="openvino", weights="int8", computes="float32", adapters=len(adapters))
        grammars = (weights / FOLDER / TOKENIZER).is_file()  # what letters a token is made of
        return cls(pipeline, window, ends, name, grammars=grammars)

    @property
    def window(self) -> int:
        return self._window

    def generate(
        self, ids: Sequence[int], options: GenerateOptions, new_tokens: int, likeliest: int | None = None
    ) -> Stream:
        import numpy as np
        import openvino

        if options.json_schema is not None and not self._grammars:
            raise RequestError(f"This model was exported without {TOKENIZER}, which answers of a JSON schema need.")
        if likeliest:
            raise RequestError("This backend, openvino, tells of the chosen tokens only: send top_logprobs 0.")
        config = self.config(options, self._ends, len(ids), new_tokens)
        config.logprobs = 0 if likeliest is None else 1
        stream = Stream()
        prompt = openvino.Tensor(np.array([list(ids)], dtype=np.int64))
        with self._changed:
            self._asked.append((stream, prompt, config))
            self._changed.notify()
        return stream

    @staticmethod
    def config(options: GenerateOptions, ends: set[int], prompt: int, new_tokens: int) -> Any:
        """As openvino_genai takes it; ``ends``: the tokens that end an answer. Raises RequestError."""
        import openvino_genai

        if options.typical_p != 1:
            raise RequestError("typical_p is not known to this backend, openvino. Leave it out, or send top_p.")
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = new_tokens
        least = options.min_length - prompt if options.min_new_tokens is None else options.min_new_tokens
        config.min_new_tokens = min(new_tokens, max(0, least))
        config.stop_token_ids = ends
        config.eos_token_id = min(ends, default=-1)
        config.repetition_penalty = options.repetition_penalty
        config.do_sample = options.samples
        if options.num_beams > 1:
            config.num_beams = options.num_beams
            config.length_penalty = options.length_penalty
            config.no_repeat_ngram_size = options.no_repeat_ngram_size or config.no_repeat_ngram_size
            criteria = openvino_genai.StopCriteria
            config.stop_criteria = criteria.EARLY if options.early_stopping else criteria.HEURISTIC
        elif options.no_repeat_ngram_size:
            raise RequestError("no_repeat_ngram_size needs num_beams over 1 here. Leave it out, or send more beams.")
        if options.samples:
            config.temperature, config.top_p = options.temperature, options.top_p
            config.top_k = options.top_k or config.top_k
            config.min_p = options.min_p or 0.0
            config.rng_seed = secrets.randbits(32) if options.seed is None else options.seed
        if options.json_schema is not None:
            config.structured_output_config = openvino_genai.StructuredOutputConfig(json_schema=options.grammar)
        try:
            config.validate()
        except RuntimeError as error:
            raise RequestError(f"generate_kwargs cannot be so: {first_line(error)}.") from error
        return config

    def _run(self) -> None:
        running: dict[int, tuple[Stream, Any]] = {}
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or running)
                asked, self._asked = self._asked, []
            for stream, prompt, config in asked:
                try:
                    running[number] = stream, self._pipeline.add_request(number, prompt, config)
                except RuntimeError as error:
                    stream.end(error)
                number += 1
            try:
                if self._pipeline.has_non_finished_requests():
                    self._pipeline.step()
            except RuntimeError as error:
                _log.exception("generation.failed")
                for stream, handle in running.values():
                    handle.stop()
                    stream.end(error)
                running.clear()
                self._forget()
            for request, (stream, handle) in list(running.items()):
                if _told(stream, handle):
                    del running[request]
            seen = self._pipeline.get_metrics()
            self._batch.set(seen.scheduled_requests if running else 0)
            self._cache.set(seen.cache_usage / 100)

    def _forget(self) -> None:
        """What was stopped goes with a step, before anything new may come."""
        try:
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()
        except RuntimeError:
            _log.exception("generation.stuck")


def _told(stream: Stream, handle: Any) -> bool:
    """Pass on what has been made; is it the end?"""
    from openvino_genai import GenerationStatus

    if stream.closed:
        handle.cancel()
        stream.end()
        return True
    over = bool(handle.get_status() != GenerationStatus.RUNNING)
    while handle.can_read():
        best = max(handle.read().values(), key=lambda output: output.score)  # of beams; else there is one
        for token, logprob in zip_longest(best.generated_ids, best.generated_log_probs):
            stream.put(Token(int(token), logprob))
    if over:
        stream.end()
    return over
