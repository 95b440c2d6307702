"""One model in several processes: each holds a part of every layer, and all take the same steps together.

torchrun starts the processes and tells each its place in the environment. The first leads: it answers requests and
tells the others of each generation, so that all compute it, with the same random numbers. The others follow. Whoever
finds another gone ends, and so does its pod's container: the kubelet starts all of them anew.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

import structlog

from serving.chat import GenerateOptions, RequestError
from serving.engine import Engine, ModelError, Token
from serving.tools import Dialect

_log = structlog.get_logger()
_PART: Final = "This process holds a part of the model. Ask the first pod, which the Service leads to."
#: What is to be generated: a prompt, how, at most how many tokens, and what is to be told of them.
_Task = tuple[list[int], GenerateOptions, int, int | None]
#: Others may still be fetching the model's image, or loading it.
_MEETING: Final = timedelta(hours=2)
#: Between two words of the leader; and how long without one, before it is taken for gone.
_BEAT_SECONDS: Final = 5.0
_SILENCE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Place:
    """Which of ``size`` processes this is; ``local`` is its number on its node."""

    rank: int
    local: int
    size: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """As torchrun says it; alone where it does not."""
        rank, local, size = (int(environment.get(name, "0")) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
        return cls(rank, local, max(1, size))

    @property
    def alone(self) -> bool:
        return self.size == 1


def meet(place: Place, weights: Path) -> None:
    """Wait for all the others. Raises ModelError for a model that cannot be divided among so many."""
    import torch

    config = json.loads((weights / "config.json").read_text())
    heads = [config[name] for name in ("num_attention_heads", "num_key_value_heads") if config.get(name)]
    if any(number % place.size for number in heads):
        fitting = [n for n in range(1, min(heads) + 1) if not any(number % n for number in heads)]
        raise ModelError(
            f"the model in {weights} has {' and '.join(map(str, heads))} heads, which {place.size} processes cannot"
            f" share; {', '.join(map(str, fitting))} can"
        )
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_MEETING)


class _Line:
    """How the leader speaks to the others: beside the model's own traffic, and with a deadline."""

    def __init__(self) -> None:
        from torch import distributed

        self._distributed = distributed
        self._group: Any = distributed.new_group(backend="gloo", timeout=_SILENCE)

    def say(self, word: Any) -> None:
        """To all; returns when all have heard. Raises RuntimeError where one is gone."""
        self._distributed.broadcast_object_list([word], src=0, group=self._group)
        self._distributed.barrier(group=self._group)

    def hear(self) -> Any:
        """What the leader says next. Raises RuntimeError where anybody is gone."""
        words: list[Any] = [None]
        self._distributed.broadcast_object_list(words, src=0, group=self._group)
        self._distributed.barrier(group=self._group)
        return words[0]


class Leader:
    """The first process's engine: an Engine that all of the others help. ``failed`` is called where one is gone."""

    def __init__(self, engine: Engine, failed: Callable[[], None]) -> None:
        self._engine, self._failed, self._line = engine, failed, _Line()
        self._lock = threading.Lock()
        self._never = threading.Event()
        threading.Thread(target=self._beat, name="gang", daemon=True).start()

    @property
    def window(self) -> int:
        return self._engine.window

    def generate(
        self, ids: Sequence[int], options: GenerateOptions, new_tokens: int, likeliest: int | None = None
    ) -> Generator[Token, None, None]:
        """It begins with the first token that is read; once begun, all take all of its steps."""
        seeded = options if options.seed is not None else options.model_copy(update={"seed": secrets.randbits(63)})
        return self._lead((list(ids), seeded, new_tokens, likeliest))

    def _lead(self, task: _Task) -> Generator[Token, None, None]:
        with self._lock:
            try:
                self._line.say(task)
                made = self._engine.generate(*task)
                try:
                    for token in made:  # noqa: UP028 - yield from would close it with this one
                        yield token
                finally:
                    deque(made, maxlen=0)  # the others know of nobody who has gone
            except GeneratorExit:
                raise
            except BaseException:
                _log.exception("gang.broken")
                self._failed()  # whatever it was, the others are at another place now
                raise

    def _beat(self) -> None:
        """Find out who is gone before a request does."""
        while not self._never.wait(_BEAT_SECONDS):
            with self._lock:
                try:
                    self._line.say(None)
                except RuntimeError as error:
                    _log.error("gang.broken", reason=str(error))
                    self._failed()
                    return


class Follower:
    """Another process's part, in place of a model that answers."""

    dialect: Dialect | None = None

    def __init__(self, engine: Engine, failed: Callable[[], None]) -> None:
        self._engine, self._failed, self._line = engine, failed, _Line()

    def start(self) -> None:
        threading.Thread(target=self.follow, name="gang", daemon=True).start()

    def follow(self) -> None:
        """Take every step with the leader, until one is gone."""
        try:
            while True:
                if (task := self._line.hear()) is not None:
                    deque(self._engine.generate(*task), maxlen=0)
        except BaseException:
            _log.exception("gang.broken")
            self._failed()
            raise

    def answer(self, *_: object) -> NoReturn:
        raise RequestError(_PART)

    def complete(self, *_: object, **__: object) -> NoReturn:
        raise RequestError(_PART)
