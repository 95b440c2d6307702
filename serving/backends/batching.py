"""All requests of a torch model in one batch, by transformers' continuous batching.

Its manager knows one way to choose tokens for all; so each request's own, by the processors that ``generate`` would
have, is applied to its row of a step's logits, and leaves the manager the one token that has been chosen.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from serving.engine import Stream, Token
from serving.metrics import BATCH, CACHE

if TYPE_CHECKING:
    import torch

#: Tokens a block of the cache holds; and those that a step computes at most on a CPU: a long prompt comes in pieces.
_BLOCK, _BATCHED_TOKENS = 32, 256
#: Bytes that the cache takes on a CPU; on a GPU it is a share of the memory that the weights leave.
_CPU_CACHE: Final = 1 << 30
_GPU_SHARE: Final = 0.7
_log = structlog.get_logger()


@dataclass
class Job:
    """One request: the first ``length`` of ``ids``, which has room for its answer, are its tokens so far.

    ``process`` makes of the logits of the next one what ``choose`` takes it by, and ``told`` is what is said of it.
    """

    stream: Stream
    ids: torch.Tensor
    length: int
    process: Callable[[Any, Any], Any]
    choose: Callable[[Any], int]
    told: Callable[[int], Token]


class Batching:
    """One thread, transformers' own, steps; what is asked of it and what is closed it sees between two steps."""

    def __init__(self, model: Any, ends: Sequence[int], name: str) -> None:
        import torch
        from transformers import ContinuousBatchingConfig, GenerationConfig
        from transformers.generation.continuous_batching import ContinuousBatchingManager

        settings: dict[str, Any] = {"max_memory_percent": _GPU_SHARE}
        if model.device.type == "cpu":
            blocks = max(1, _CPU_CACHE // (_BLOCK * _bytes_a_token(model)))
            settings = {"num_blocks": blocks, "max_batch_tokens": _BATCHED_TOKENS}
        self._manager = ContinuousBatchingManager(
            _paged(model),
            GenerationConfig(do_sample=False, eos_token_id=list(ends)),
            ContinuousBatchingConfig(
                block_size=_BLOCK,
                allow_block_sharing=False,  # with it, asked a second time, 2 of 24 prompts were answered otherwise
                use_async_batching=False,
                use_cuda_graph=False,  # a step's rows are gone through in Python
                **settings,
            ),
        )
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count()
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._batch, self._cache = BATCH.labels(name), CACHE.labels(name)
        self._rows: Any = None
        self._infinity = torch.finfo(model.dtype).min
        self._manager.logit_processor = self
        self._manager.output_router = self
        self._manager.batch_processor = self._manager._create_batch_processor()  # now, and not with the first request
        self._start()

    def _start(self) -> None:
        """As the manager's ``start``, in a thread that keeps no process alive that is told to stop."""
        self._manager.stop_event.clear()
        run = threading.Thread(target=self._manager._run_generation_loop, name="batch", daemon=True)
        self._manager._generation_thread = run
        run.start()

    def fits(self, tokens: int) -> bool:
        """Is the cache large enough for a prompt and its answer?"""
        return bool(tokens <= self._manager.batch_processor.cache.num_blocks * _BLOCK)

    def add(self, job: Job) -> None:
        """Begin with it."""
        name = str(next(self._numbers))
        with self._lock:
            self._jobs[name] = job
        self._manager.add_request(
            job.ids[: job.length].tolist(), request_id=name, max_new_tokens=len(job.ids) - job.length
        )
        with self._starting:  # asked after it was added: a step that fails tells all that it finds, and ends the thread
            if self._manager.stop_event.is_set():
                self._manager._generation_thread.join()
                self._start()

    # What the manager calls before each step's tokens are chosen, as it calls a LogitsProcessorList.

    def set_continuous_batching_context(self, rows: torch.Tensor, _: torch.Tensor) -> None:
        self._rows = rows

    def __call__(self, _: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """``logits``: a row for each token that is computed; of those that end what a request has, one is chosen."""
        processor = self._manager.batch_processor
        states = [it.state for it in processor.inputs_and_outputs.requests_in_batch if it.has_new_token]
        self._batch.set(len(states))
        self._cache.set(1 - processor.cache.get_num_free_blocks() / processor.cache.num_blocks)
        for state, row in zip(states, self._rows[: len(states)].tolist(), strict=True):
            token = self._chosen(state.request_id, logits[row])
            logits[row] = self._infinity
            logits[row, token] = 0
        return logits

    def _chosen(self, name: str, logits: torch.Tensor) -> int:
        job = self._jobs.get(name)
        if job is None:
            return 0
        if job.stream.closed:
            self._end(name, None)
            self._manager.cancel_request(name)
            return 0
        token = job.choose(job.process(job.ids[None, : job.length], logits[None].float())[0])
        job.ids[job.length] = token
        job.length += 1
        job.stream.put(job.told(token))
        return token

    # What the manager calls with what has ended, as it calls an OutputRouter.

    def deliver(self, output: Any) -> None:
        self._end(output.request_id, RuntimeError(output.error) if output.error else None)

    def deliver_batch(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            self.deliver(output)

    def _end(self, name: str, error: Exception | None) -> None:
        with self._lock:
            job = self._jobs.pop(name, None)
            if not self._jobs:
                self._batch.set(0)
        if job is not None:
            job.stream.end(error)


def _paged(model: Any) -> Any:
    """The same weights in modules of their own: those of a manager attend to its cache only."""
    shared = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def _bytes_a_token(model: Any) -> int:
    """What the cache holds of one token: keys and values of each layer."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)
