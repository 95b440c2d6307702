"""The CloudEvent for a change, as Knative's adapter makes it, and the message that it travels in."""

from __future__ import annotations

import json

from eventing.inventory import Change
from eventing.source.spec import Mode
from kaito.api.resources import Kind, Object
from kaito.api.tracing import ATTRIBUTE, source_span, traceparent, workspace_of
from kaito.runtime import events
from kaito.runtime.events import Event


def describe(change: Change, mode: Mode, server: str, **stamp: str) -> Event:
    """The CloudEvent for a change; without an id and a time as its ``stamp`` they are of now.

    It is in the trace of the Workspace that the object is or that controls it, by CloudEvents' distributed tracing
    extension.
    """
    obj, metadata = change.object, change.object["metadata"]
    kind, namespace, name = Kind.of(obj), metadata.get("namespace", ""), metadata["name"]
    attributes = {
        "type": f"dev.knative.apiserver.{'resource' if mode == 'Resource' else 'ref'}.{change.verb}",
        "source": server,
        # Not the object's URL: the core group is under /apis too, and no namespace is an empty one.
        "subject": f"/apis/{kind.api_version}/namespaces/{namespace}/{kind.plural}/{name}",
        "datacontenttype": "application/json",
        "apiversion": kind.api_version,
        "kind": kind.kind,
        "name": name,
        "namespace": namespace,
        **stamp,
    }
    event = events.new(attributes, canonical(obj) if mode == "Resource" else _reference(kind, namespace, name))
    uid = workspace_of(obj)
    return event.with_attributes(**{ATTRIBUTE: traceparent(uid, source_span(server, event.id))}) if uid else event


def message(event: Event, namespace: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of an event of a source in this namespace."""
    headers, body = events.to_binary(event)
    return {**headers, "kn-namespace": namespace}, body


def canonical(obj: Object) -> bytes:
    """JSON as Knative writes it."""
    return json.dumps(obj, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _reference(kind: Kind, namespace: str, name: str) -> bytes:
    reference = {"kind": kind.kind, "namespace": namespace, "name": name, "apiVersion": kind.api_version}
    return json.dumps({field: value for field, value in reference.items() if value}, separators=(",", ":")).encode()
