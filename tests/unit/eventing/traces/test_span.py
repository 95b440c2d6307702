"""OTLP's JSON, as OpenTelemetry's own reader takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto_json.trace.v1.trace import TracesData

from eventing.traces.span import Moment, Span, from_otlp, to_otlp

IDS = st.integers(1, 2**64 - 1).map(lambda it: f"{it:016x}")
TIMES = st.integers(0, 2**63 - 1)
VALUES = st.text() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ATTRIBUTES = st.dictionaries(st.text(min_size=1), VALUES, max_size=4)
SPANS = st.builds(
    Span,
    IDS.map(lambda it: it * 2),
    IDS,
    IDS | st.just(""),
    st.text(min_size=1),
    TIMES,
    TIMES,
    st.just({"service.name": "kaito"}) | st.just({"service.name": "serving", "number": 3}),
    ATTRIBUTES,
    st.lists(st.builds(Moment, st.text(min_size=1), TIMES, ATTRIBUTES), max_size=2).map(tuple),
    st.lists(st.tuples(IDS.map(lambda it: it * 2), IDS), max_size=2).map(tuple),
    st.text(),
    st.integers(1, 5),
)


@settings(deadline=None)
@given(st.lists(SPANS, max_size=4))
def test_what_is_written_is_read_again_by_opentelemetry_too(spans: list[Span]) -> None:
    data = json.loads(json.dumps(to_otlp(spans)))
    assert sorted(from_otlp(data), key=repr) == sorted(spans, key=repr)
    again = TracesData.from_dict(data)
    read = [span for resource in again.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert sorted((it.span_id.hex(), it.name, it.end_time_unix_nano) for it in read if it.span_id) == sorted(
        (it.id, it.name, it.ended) for it in spans
    )


@pytest.mark.parametrize(
    "data", [{}, [], None, {"resourceSpans": [3]}, {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}]
)
def test_what_is_no_otlp_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="no OTLP spans"):
        list(from_otlp(data))
