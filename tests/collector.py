"""A receiver of OTLP over HTTP, for tests: it reads what exporters send by OpenTelemetry's own messages."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventing.traces.span import Moment, Span, Value
from tests.receiver import Received, Receiver

PATH = "/v1/traces"


class Collector(Receiver):
    """Its ``url`` is that of spans, ``base`` that of all signals. It answers as it is told."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(lambda received, count: (b"", status), PATH)

    @property
    def base(self) -> str:
        return self.url.removesuffix(PATH)

    def spans(self, enough: Callable[[Sequence[Span]], bool] = bool) -> list[Span]:
        """What came so far, once it is enough."""
        return _spans(self.until(lambda received: enough(_spans(received)), 20))


def _spans(received: Sequence[Received]) -> list[Span]:
    found = []
    for one in received:
        assert one.headers["content-type"] == "application/x-protobuf"
        body = gzip.decompress(one.body) if one.headers.get("content-encoding") == "gzip" else one.body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            emitted = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                found += [_span(it, emitted) for it in scope.spans]
    return found


def _span(it, resource: dict[str, Value]) -> Span:  # type: ignore[no-untyped-def]
    return Span(
        it.trace_id.hex(),
        it.span_id.hex(),
        it.parent_span_id.hex(),
        it.name,
        it.start_time_unix_nano,
        it.end_time_unix_nano,
        resource,
        _attributes(it.attributes),
        tuple(Moment(one.name, one.time_unix_nano, _attributes(one.attributes)) for one in it.events),
        tuple((one.trace_id.hex(), one.span_id.hex()) for one in it.links),
        it.status.message or ("failed" if it.status.code == 2 else ""),
        it.kind,
    )


def _attributes(values) -> dict[str, Value]:  # type: ignore[no-untyped-def]
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in values}
