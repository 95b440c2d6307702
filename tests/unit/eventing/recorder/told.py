"""Records as functions make them, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from kaito.api.resources import Object
from kaito.runtime.recording import codec, records

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PROCESS = "kaito-workspace/aa"


def said(kind: str, name: str, data: Any, process: str = PROCESS, subject: str = "", when: datetime = NOW) -> bytes:
    """A line of a recording."""
    event = {
        "specversion": "1.0",
        "id": name,
        "source": f"/kaito/functions/{process}",
        "type": f"sh.kaito.recording.{kind}",
        "time": records.exact(when),
        "datacontenttype": "application/json",
        "data": data,
    }
    return to_json(event | ({"subject": subject} if subject else {})) + b"\n"


def installation(process: str = PROCESS, name: str = "i", when: datetime = NOW) -> bytes:
    data = {"version": "1", "environment": {"KAITO_CLAIM_KIND": "Machine"}, "files": {"F": {"a.yaml": "a"}}}
    return said(records.INSTALLATION, name, data, process, when=when)


def config_map(name: str, text: str = "") -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}


def kept_object(obj: Object, process: str = PROCESS, when: datetime = NOW) -> bytes:
    return said(records.OBJECT, codec.digest(obj), {"object": obj}, process, when=when)


def delivery(name: str, about: str = "Workspace/default/phi", process: str = PROCESS, when: datetime = NOW) -> bytes:
    kind, namespace, called = about.split("/")
    headers = {
        "ce-specversion": "1.0",
        "ce-id": f"event-{name}",
        "ce-source": "https://kubernetes.default.svc",
        "ce-type": "dev.knative.apiserver.resource.update",
        "ce-kind": kind,
        "ce-namespace": namespace,
        "ce-name": called,
    }
    return said(records.DELIVERY, name, {"headers": headers, "body": ""}, process, when=when)


def answer(name: str, of: str, process: str = PROCESS, when: datetime = NOW) -> bytes:
    data = {"delivery": of, "status": 202, "reason": "", "hints": 1, "seconds": 0.01}
    return said(records.ANSWER, name, data, process, when=when)


def decision(
    name: str,
    *objects: Object,
    because: tuple[str, ...] = ("timer",),
    about: str = "workspace/default/phi",
    process: str = PROCESS,
    when: datetime = NOW,
) -> bytes:
    observed = {"$class": "Observed", "children": [{"$object": codec.digest(obj)} for obj in objects]}
    plan = {"$class": "Plan", "effects": [], "settled": True, "requeue_after": None}
    data = {"key": None, "because": list(because), "now": records.exact(when), "refused": None}
    return said(records.DECISION, name, {**data, "observed": observed, "plan": plan}, process, about, when)


def write(name: str, of: str, process: str = PROCESS, when: datetime = NOW) -> bytes:
    return said(records.WRITE, name, {"decision": of, "effect": 0, "error": None, "seconds": 0.01}, process, when=when)
