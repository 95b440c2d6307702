"""W3C trace context of Workspaces: each has one trace, whose ids whoever knows its uid can tell. Pure.

Nobody has to hand the ids on, so a trace holds together over lost events, restarts and old recordings.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from kaito.api.resources import WORKSPACE, Object, controller_of

#: The attribute of CloudEvents' distributed tracing extension, and the header of HTTP requests.
ATTRIBUTE: Final = "traceparent"
#: The variable that programs are told their parent by.
PARENT: Final = "TRACEPARENT"
#: Where model servers send their spans: ``file:///DIRECTORY``, or of the workspace function also an OTLP endpoint.
VARIABLE: Final = "KAITO_TRACES"
#: OpenTelemetry's own, of an OTLP endpoint for spans over HTTP.
ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
#: What a model server calls the span of its start, the attribute of its revision, and the event of a first token.
START, REVISION, FIRST_TOKEN = "server start", "kaito.revision", "first token"
#: How files of spans end, a line of OTLP's JSON each.
ENDING: Final = ".otlp.jsonl"
_HEX: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def trace_id(uid: str) -> str:
    """Of the Workspace with that uid, in hexadecimal digits."""
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def span_id(*of: str) -> str:
    """Of whatever is called so, in hexadecimal digits."""
    return hashlib.sha256("/".join(of).encode()).hexdigest()[:16]


def root_span(uid: str) -> str:
    """The Workspace's own, which all others are below."""
    return span_id("workspace", uid)


def source_span(source: str, event: str) -> str:
    """Of the event of that source and id being sent."""
    return span_id("source", source, event)


def traceparent(uid: str, span: str = "") -> str:
    """In the trace of the Workspace with that uid, below that span or the root."""
    return f"00-{trace_id(uid)}-{span or root_span(uid)}-01"


def parse(given: str) -> tuple[str, str] | None:
    """Trace and span of a traceparent; None where it is none."""
    found = _HEX.fullmatch(given)
    if found is None or given.startswith("ff") or (given.startswith("00") and found[3]):
        return None
    return (found[1], found[2]) if found[1].strip("0") and found[2].strip("0") else None


def workspace_of(obj: Object) -> str:
    """The uid of the Workspace that an object is, or that controls it; empty where it names none."""
    if obj.get("kind") == WORKSPACE.kind and str(obj.get("apiVersion", "")).rpartition("/")[0] == WORKSPACE.group:
        return str((obj.get("metadata") or {}).get("uid") or "")
    found = controller_of(obj, (WORKSPACE,))
    return str(found[1].get("uid") or "") if found else ""
