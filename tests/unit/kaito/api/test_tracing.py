"""Ids of traces, and the traceparent of W3C Trace Context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kaito.api.tracing import parse, root_span, source_span, trace_id, traceparent, workspace_of

UID = "d60781a7-7f74-4abb-8aea-e983a285ea56"


def test_of_a_workspace_it_is_always_the_same() -> None:
    assert traceparent(UID) == f"00-{trace_id(UID)}-{root_span(UID)}-01"
    assert trace_id(UID) != trace_id("another")
    assert source_span("s", "1") != source_span("s", "2")


@given(st.text(min_size=1), st.text())
def test_opentelemetry_reads_it_and_so_do_we(uid: str, event: str) -> None:
    span = source_span("https://here", event)
    given = traceparent(uid, span)
    context = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": given}, Context()))
    read = context.get_span_context()
    assert (f"{read.trace_id:032x}", f"{read.span_id:016x}") == parse(given) == (trace_id(uid), span)
    assert read.trace_flags.sampled


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01-more",
        f"00-{'A' * 32}-{'1' * 16}-01",
    ],
)
def test_what_is_none_is_none(given: str) -> None:
    assert parse(given) is None


def test_one_of_a_later_version_may_have_more() -> None:
    assert parse(f"01-{'1' * 32}-{'2' * 16}-00-more") == ("1" * 32, "2" * 16)


def owner(kind: str, *, controller: bool = True, version: str = "kaito.sh/v1beta1") -> dict[str, object]:
    return {"apiVersion": version, "kind": kind, "name": "phi", "uid": UID, "controller": controller}


@pytest.mark.parametrize(
    ("obj", "uid"),
    [
        ({"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"uid": UID}}, UID),
        (
            {"apiVersion": "v1", "kind": "Service", "metadata": {"uid": "s", "ownerReferences": [owner("Workspace")]}},
            UID,
        ),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"ownerReferences": [owner("Job")]}}, ""),
        (
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"ownerReferences": [owner("Workspace", controller=False)]},
            },
            "",
        ),
        ({"apiVersion": "v1", "metadata": {"ownerReferences": [owner("Workspace", version="other.io/v1")]}}, ""),
        ({"apiVersion": "v1", "kind": "Node", "metadata": {"uid": "n"}}, ""),
        ({"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", "metadata": {}}, ""),
    ],
)
def test_the_workspace_that_an_object_is_of(obj: dict[str, object], uid: str) -> None:
    assert workspace_of(obj) == uid
