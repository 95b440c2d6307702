"""Spans to a collector, by OpenTelemetry's own exporter: its variables for headers and certificates hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from eventing.recordings.recording import RecordingError
from eventing.traces.span import Span

_SCOPE: Final = InstrumentationScope("kaito")
#: As OpenTelemetry adds it to an endpoint for all signals.
_PATH: Final = "/v1/traces"
_AT_ONCE: Final = 500


def send(spans: Sequence[Span], url: str) -> str:
    """Where they were sent to. Raises RecordingError where they are not taken."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RecordingError(f"{url!r} is no OTLP endpoint: give one such as http://localhost:4318")
    endpoint = url if parts.path.strip("/") else f"{url.rstrip('/')}{_PATH}"
    exporter = OTLPSpanExporter(endpoint=endpoint)
    try:
        for first in range(0, len(spans), _AT_ONCE):
            batch = [_readable(it) for it in spans[first : first + _AT_ONCE]]
            if exporter.export(batch) is not SpanExportResult.SUCCESS:
                raise RecordingError(f"{endpoint} does not take the spans: is it an OTLP endpoint, over HTTP?")
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return endpoint


def _readable(span: Span) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        _context(span.trace, span.id),
        _context(span.trace, span.parent) if span.parent else None,
        Resource(dict(span.resource)),
        dict(span.attributes),
        [Event(it.name, dict(it.attributes), it.when) for it in span.moments],
        [Link(_context(*it)) for it in span.links],
        SpanKind(span.kind - 1),  # OTLP has 0 for none
        status=Status(StatusCode.ERROR, span.failure) if span.failure else Status(),
        start_time=span.began,
        end_time=span.ended,
        instrumentation_scope=_SCOPE,
    )


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
