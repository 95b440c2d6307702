"""A model is loaded in the background, while the port is open and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from serving import tracing
from serving.chat import ChatRequest, GenerateOptions
from serving.engine import ModelError
from serving.pipeline import Completion, Gone
from serving.tools import Dialect

_log = structlog.get_logger()


class Model(Protocol):
    """What answers requests: a Pipeline."""

    @property
    def dialect(self) -> Dialect | None: ...

    def answer(self, request: ChatRequest, gone: Gone) -> str: ...

    def complete(
        self,
        asked: str | Sequence[dict[str, Any]],
        options: GenerateOptions,
        stop: Sequence[str],
        *,
        tools: Sequence[dict[str, Any]],
        opening: str,
        likeliest: int | None,
    ) -> Completion: ...


class NotReadyError(Exception):
    """No token has been generated yet; the message says why."""


class Startup:
    """Loads a model once, under one name or several, in a thread.

    ``failed`` is called where it cannot, and ends the process.
    """

    def __init__(self, load: Callable[[], Mapping[str, Model]], failed: Callable[[], None]) -> None:
        self._load, self._failed = load, failed
        self._began = time.monotonic()
        self._models: Mapping[str, Model] | None = None

    def start(self) -> None:
        """Begin to load. The thread does not keep a process alive that is told to stop meanwhile."""
        threading.Thread(target=self._run, name="startup", daemon=True).start()

    def model(self, name: str) -> Model:
        """The one of that name; raises NotReadyError until all have answered once."""
        if self._models is None:
            raise NotReadyError(f"The model is being loaded, for {time.monotonic() - self._began:.0f} s now")
        return self._models[name]

    def _run(self) -> None:
        try:
            with tracing.tracer.starting():
                self._models = self._load()
        except ModelError as error:
            _log.error("model.failed", reason=str(error))
            self._failed()
        except BaseException:
            _log.exception("model.failed")
            self._failed()
            raise
        else:
            _log.info("model.ready", seconds=round(time.monotonic() - self._began, 2))
