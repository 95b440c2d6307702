"""What is told of a start and of requests, to whoever traces them: nobody, unless OpenTelemetry is asked for.

serving.spans is what it is told to; that imports OpenTelemetry, which a server without traces never does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from kaito.api.tracing import ENDPOINT, VARIABLE
from serving.engine import ModelError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: About when this process began, in nanoseconds since 1970.
BEGAN: Final = time.time_ns()
#: OpenTelemetry's variables, of which one is enough.
ENDPOINTS: Final = (ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT")


class Tracer(Protocol):
    """Of one process."""

    def starting(self) -> AbstractContextManager[None]:
        """While the model is being loaded."""

    def stage(self, name: str, seconds: float, ended: int) -> None:
        """A stage of that, which ended then, in nanoseconds since 1970."""

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """The app, with its requests traced."""


class Request(Protocol):
    """One that is being answered, in this thread."""

    def prompted(self, tokens: int) -> None:
        """So many tokens are asked by."""

    def token(self) -> None:
        """One more is made."""


class _Nobody:
    """Where nothing is traced."""

    def starting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stage(self, name: str, seconds: float, ended: int) -> None: ...

    def around(self, app: WSGIApplication) -> WSGIApplication:
        return app


tracer: Tracer = _Nobody()
#: The request that this thread answers; None where nobody traces it.
current: ContextVar[Request | None] = ContextVar("current", default=None)


def begin(environment: Mapping[str, str]) -> Tracer:
    """In the process that answers: trace from now on, where the environment asks for it."""
    global tracer
    folder = directory(environment)
    if folder is not None or any(environment.get(name) for name in ENDPOINTS):
        from serving.spans import Spans

        tracer = Spans.of(environment, folder)
    return tracer


def directory(environment: Mapping[str, str]) -> Path | None:
    """Where spans are written to, if anywhere. Raises ModelError."""
    given = environment.get(VARIABLE, "")
    url = urlsplit(given)
    if given and (url.scheme != "file" or url.netloc or not url.path.startswith("/")):
        raise ModelError(f"{VARIABLE} is {given!r}; it must be file:///DIRECTORY or empty; {ENDPOINT} is for others")
    return Path(unquote(url.path)) if given else None
