"""A span, and OTLP's JSON of many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from kaito.api.resources import Object

Value = str | int | float | bool
#: OpenTelemetry's attribute of what emits a span.
SERVICE: Final = "service.name"
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00Z")
_ERROR: Final = 2
_INTERNAL: Final = 1


@dataclass(frozen=True, slots=True)
class Moment:
    """An event of a span: that something came to be; ``when`` is in nanoseconds."""

    name: str
    when: int
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """``trace``, ``id`` and ``parent`` (empty: none) are hexadecimal, times in nanoseconds since 1970. ``failure``: why
    it is no success; ``links``: traces and spans that it has to do with; ``resource`` says what emitted it."""

    trace: str
    id: str
    parent: str
    name: str
    began: int
    ended: int
    resource: Mapping[str, Value]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    moments: Sequence[Moment] = ()
    links: Sequence[tuple[str, str]] = ()
    failure: str = ""
    kind: int = _INTERNAL

    @property
    def service(self) -> str:
        return str(self.resource.get(SERVICE, ""))


def nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def to_otlp(spans: Iterable[Span]) -> Object:
    """Of OTLP's JSON, the ExportTraceServiceRequest."""
    by_resource: dict[tuple[tuple[str, Value], ...], list[Span]] = {}
    for span in spans:
        by_resource.setdefault(tuple(sorted(span.resource.items())), []).append(span)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(dict(resource))},
                "scopeSpans": [{"scope": {"name": "kaito"}, "spans": [_span(it) for it in found]}],
            }
            for resource, found in by_resource.items()
        ]
    }


def from_otlp(data: Any) -> Iterator[Span]:
    """Raises ValueError for what is no OTLP."""
    try:
        for resource in data["resourceSpans"]:
            emitted_by = _values((resource.get("resource") or {}).get("attributes"))
            for scope in resource.get("scopeSpans") or ():
                yield from (_read(it, emitted_by) for it in scope.get("spans") or ())
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no OTLP spans: {error!r}") from error


def _span(span: Span) -> Object:
    made: Object = {
        "traceId": span.trace,
        "spanId": span.id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.began),
        "endTimeUnixNano": str(span.ended),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(it.when), "name": it.name, "attributes": _attributes(it.attributes)}
            for it in span.moments
        ],
        "links": [{"traceId": trace, "spanId": linked} for trace, linked in span.links],
        "status": {"code": _ERROR, "message": span.failure} if span.failure else {},
    }
    if span.parent:
        made["parentSpanId"] = span.parent
    return made


def _read(data: Object, resource: Mapping[str, Value]) -> Span:
    status = data.get("status") or {}
    return Span(
        data["traceId"].lower(),
        data["spanId"].lower(),
        data.get("parentSpanId", "").lower(),
        data["name"],
        int(data["startTimeUnixNano"]),
        int(data["endTimeUnixNano"]),
        resource,
        _values(data.get("attributes")),
        tuple(
            Moment(it["name"], int(it["timeUnixNano"]), _values(it.get("attributes")))
            for it in data.get("events") or ()
        ),
        tuple((it["traceId"], it["spanId"]) for it in data.get("links") or ()),
        (status.get("message") or "failed") if status.get("code") == _ERROR else "",
        data.get("kind", _INTERNAL),
    )


def _attributes(values: Mapping[str, Value]) -> list[Object]:
    return [{"key": name, "value": _value(it)} for name, it in values.items()]


def _value(value: Value) -> Object:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def _values(attributes: Sequence[Object] | None) -> dict[str, Value]:
    """Lists and the like, which nothing of ours has, are left out."""
    found = dict[str, Value]()
    for it in attributes or ():
        for kind, value in it["value"].items():
            if kind in _READ:
                found[it["key"]] = _READ[kind](value)
    return found


_READ: Final[Mapping[str, type[Value]]] = {"boolValue": bool, "intValue": int, "doubleValue": float, "stringValue": str}
