"""What a model server says of itself to Prometheus, at /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS: Final = Counter("kaito_requests", "Requests answered, by route and HTTP status.", ["route", "status"])
RUNNING: Final = Gauge("kaito_requests_running", "Generations that are under way or wait for their turn.")
PROMPT_TOKENS: Final = Counter("kaito_prompt_tokens", "Tokens of prompts.")
GENERATED_TOKENS: Final = Counter("kaito_generated_tokens", "Tokens generated.")
FIRST_TOKEN: Final = Histogram(
    "kaito_time_to_first_token_seconds", "From a request to its first token.", buckets=_SECONDS
)
NEXT_TOKEN: Final = Histogram("kaito_inter_token_seconds", "From one token to the next.", buckets=_SECONDS)


def measured(tokens: Iterable[int]) -> Iterator[int]:
    """The same tokens, counted and timed as they come."""
    last = time.monotonic()
    times = FIRST_TOKEN
    for token in tokens:
        now = time.monotonic()
        times.observe(now - last)
        GENERATED_TOKENS.inc()
        times, last = NEXT_TOKEN, now
        yield token
