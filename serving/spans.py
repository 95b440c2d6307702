"""Spans of the start and of requests, by OpenTelemetry's SDK: to an OTLP endpoint, to a file, or both.

They are handed on in batches beside the work. The first request that is answered is in its Workspace's trace, unless
whoever asks has one of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kaito.api.tracing import ATTRIBUTE, ENDING, FIRST_TOKEN, PARENT, REVISION, START
from serving import tracing
from serving.rotation import Rotation
from serving.tracing import current

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The routes whose requests a model answers.
_ANSWERING: Final = frozenset({"/chat", "/v1/chat/completions", "/v1/completions"})
#: Milliseconds that the first span of a batch waits for others.
_PAUSE: Final = 1000
_WELL, _FAILED = 200, 500
_log = structlog.get_logger()
_propagator: Final = TraceContextTextMapPropagator()


class Spans:
    """The Tracer of a process. ``workspace`` is the context of its Workspace's trace, if it is told of one."""

    def __init__(self, exporters: Iterable[SpanExporter], resource: Mapping[str, str], parent: str = "") -> None:
        self._provider = TracerProvider(resource=Resource.create(dict(resource)))
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_PAUSE))
        self._tracer = self._provider.get_tracer("kaito.serving")
        self._workspace = _propagator.extract({ATTRIBUTE: parent}, Context())
        self._of = {REVISION: resource[REVISION]} if REVISION in resource else {}
        self._start: Context | None = None
        #: Held by the request that is to be the first answered, and for good once one was.
        self._first = threading.Lock()

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: Path | None) -> Self:
        """To where the environment says."""
        exporters: list[SpanExporter] = []
        if folder is not None and (rotation := _opened(folder)) is not None:
            exporters.append(FileSpanExporter(stream=cast("IO[str]", rotation)))
        if any(environment.get(name) for name in tracing.ENDPOINTS):
            exporters.append(OTLPSpanExporter())
        resource = {REVISION: environment.get("K_REVISION", "")}
        if not environment.get("OTEL_SERVICE_NAME"):
            resource[SERVICE_NAME] = environment.get("K_SERVICE") or "serving"
        return cls(exporters, {name: it for name, it in resource.items() if it}, environment.get(PARENT, ""))

    @contextmanager
    def starting(self) -> Iterator[None]:
        span = self._tracer.start_span(START, self._workspace, start_time=tracing.BEGAN, attributes=self._of)
        self._start = set_span_in_context(span, Context())
        try:
            yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()
            self.flush()  # the process is about to end
            raise
        span.end()

    def stage(self, name: str, seconds: float, ended: int) -> None:
        began = ended - round(seconds * 1e9)
        self._tracer.start_span(name, self._start, start_time=began, attributes=self._of).end(ended)

    def around(self, app: WSGIApplication) -> WSGIApplication:
        def traced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in _ANSWERING:
                return app(environ, start_response)
            request = self._request(environ)
            return _Answered(app, environ, start_response, request)

        return traced

    def flush(self) -> None:
        self._provider.force_flush()

    def _request(self, environ: WSGIEnvironment) -> _Request:
        context = _propagator.extract({ATTRIBUTE: environ.get("HTTP_TRACEPARENT", "")}, Context())
        of_workspace = get_current_span(self._workspace).get_span_context()
        links, first = [], of_workspace.is_valid and self._first.acquire(blocking=False)
        if first and not get_current_span(context).get_span_context().is_valid:
            context = self._workspace
        elif first:
            links = [Link(of_workspace)]
        path = environ["PATH_INFO"]
        attributes = {"http.request.method": "POST", "http.route": path, "url.path": path}
        span = self._tracer.start_span(f"POST {path}", context, SpanKind.SERVER, attributes, links)
        return _Request(span, self._first if first else None)


class _Request:
    """``first``: released again where it is not answered well, so that the next one is the first."""

    def __init__(self, span: Span, first: threading.Lock | None) -> None:
        self._span, self._first = span, first
        self._prompt = self._made = 0
        self.status = _FAILED

    def prompted(self, tokens: int) -> None:
        self._prompt += tokens

    def token(self) -> None:
        if not self._made:
            self._span.add_event(FIRST_TOKEN)
        self._made += 1

    def end(self) -> None:
        self._span.set_attributes(
            {
                "http.response.status_code": self.status,
                "gen_ai.usage.input_tokens": self._prompt,
                "gen_ai.usage.output_tokens": self._made,
            }
        )
        if self.status >= _FAILED:
            self._span.set_status(Status(StatusCode.ERROR, f"answered {self.status}"))
        self._span.end()
        if self._first is not None and self.status != _WELL:
            self._first.release()


class _Answered:
    """What an app answers, up to its end: a stream is made while it is read."""

    def __init__(
        self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, request: _Request
    ) -> None:
        self._request = request

        def start(status: str, *rest: Any) -> Any:
            request.status = int(status.partition(" ")[0])
            return start_response(status, *rest)

        current.set(request)
        try:
            self._body = app(environ, start)
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._end()

    def _end(self) -> None:
        current.set(None)
        self._request.end()


def _opened(folder: Path) -> Rotation | None:
    """A file of this process's in that folder; nothing is traced where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Rotation(folder / f"serving-{os.getpid()}-{tracing.BEGAN:x}{ENDING}")
    except OSError as error:
        _log.warning("traces.off", folder=str(folder), reason=str(error))
        return None
