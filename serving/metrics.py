"""What a model server says of itself to Prometheus, at /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from serving import tracing

Made = TypeVar("Made")
_log = structlog.get_logger()
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS: Final = Counter("kaito_requests", "Requests answered, by route and HTTP status.", ["route", "status"])
RUNNING: Final = Gauge("kaito_requests_running", "Generations that are under way or wait for their turn.")
PROMPT_TOKENS: Final = Counter("kaito_prompt_tokens", "Tokens of prompts.")
GENERATED_TOKENS: Final = Counter("kaito_generated_tokens", "Tokens generated.")
FIRST_TOKEN: Final = Histogram(
    "kaito_time_to_first_token_seconds", "From a request to its first token.", buckets=_SECONDS
)
BATCH: Final = Gauge("kaito_batch_size", "Requests whose next tokens the engine computes together.", ["model"])
CACHE: Final = Gauge("kaito_cache_usage_ratio", "Share of the engine's cache that requests under way take.", ["model"])
GPU_MEMORY: Final = Gauge("kaito_gpu_memory_bytes", "Memory of a GPU that the model and its cache take.", ["gpu"])
STARTUP: Final = Gauge("kaito_startup_seconds", "How long a stage of the start took.", ["stage"])
NEXT_TOKEN: Final = Histogram("kaito_inter_token_seconds", "From one token to the next.", buckets=_SECONDS)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """A stage of the start, timed: at the end that is logged, and kept for Prometheus."""
    began = time.monotonic()
    yield
    took(name, time.monotonic() - began, time.time_ns())


def took(name: str, seconds: float, ended: int) -> None:
    """A stage of the start that is over, since then, in nanoseconds since 1970."""
    STARTUP.labels(name).set(seconds)
    tracing.tracer.stage(name, seconds, ended)
    _log.info("startup.stage", stage=name, seconds=round(seconds, 3))


def stages() -> dict[str, float]:
    """Seconds of each stage of this process's start, in their order."""
    return {it.labels["stage"]: it.value for metric in STARTUP.collect() for it in metric.samples}


def prompted(tokens: int) -> None:
    """A prompt of so many tokens is answered."""
    PROMPT_TOKENS.inc(tokens)
    if (request := tracing.current.get()) is not None:
        request.prompted(tokens)


def measured(tokens: Iterable[Made]) -> Iterator[Made]:
    """The same tokens, counted and timed as they come."""
    last = time.monotonic()
    times, request = FIRST_TOKEN, tracing.current.get()
    for token in tokens:
        now = time.monotonic()
        times.observe(now - last)
        GENERATED_TOKENS.inc()
        if request is not None:
            request.token()
        times, last = NEXT_TOKEN, now
        yield token
