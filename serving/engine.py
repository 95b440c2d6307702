"""What continues tokens: the small interface of an engine; serving.backends has them.

An engine sees token ids only. All that is text (templates, windows, what a client gets back) is the pipeline's.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from serving.chat import GenerateOptions


class ModelError(Exception):
    """The model cannot be loaded; the message is one line that says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Token:
    """``logprob``: the natural logarithm of its probability, ``likeliest``: the tokens that were likeliest in its
    place, with theirs; where that was asked for."""

    id: int
    logprob: float | None = None
    likeliest: tuple[tuple[int, float], ...] = ()


class Tokens(Protocol):
    """The tokens of one generation, as they are made; ``close`` ends it early, where nobody reads on."""

    def __iter__(self) -> Iterator[Token]: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """One loaded model. ``generate`` may be called from many threads at once."""

    @property
    def window(self) -> int:
        """The most tokens, prompt and answer together, that the model can hold."""

    def generate(
        self, ids: Sequence[int], options: GenerateOptions, new_tokens: int, likeliest: int | None = None
    ) -> Tokens:
        """Continue ``ids`` by at most ``new_tokens``: it begins at once, and gives the new ones, an end token included.

        With ``likeliest`` each has its logprob, and so many of the likeliest. Raises RequestError for what this engine
        has not.
        """


class Stream(Iterator[Token]):
    """The Tokens that another thread makes: it ``put``s them and says that it has ``end``ed."""

    def __init__(self) -> None:
        self._made: queue.SimpleQueue[Token | BaseException | None] = queue.SimpleQueue()
        self._over = False
        self.closed = False

    def put(self, token: Token) -> None:
        self._made.put(token)

    def end(self, error: BaseException | None = None) -> None:
        """``error`` is raised where the tokens are read."""
        self._made.put(error)

    def close(self) -> None:
        """Whoever makes them is to look at ``closed``."""
        self.closed = True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Token:
        if self._over:
            raise StopIteration
        item = self._made.get()
        if isinstance(item, Token):
            return item
        self._over = True
        if item is not None:
            raise item
        raise StopIteration


def first_line(error: BaseException) -> str:
    """An exception in one line; the cause where there is one, for that says more."""
    error = error.__cause__ or error
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
