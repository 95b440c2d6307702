"""The events that others are told of as an AsyncAPI document: ``python -m kaito.api.asyncapi`` writes docs/.

What is in their data comes from the models of kaito.api.announcements; CloudEvents' attributes, the Broker and the
examples are said here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic.json_schema import GenerateJsonSchema

from kaito import __version__
from kaito.api.announcements import (
    ANNOUNCEMENTS,
    Announcement,
    NodeFailed,
    NodeLost,
    NodeProvisioned,
    NodeRemoved,
    TuningFailed,
    TuningStarted,
    TuningSucceeded,
    WorkspaceDeleted,
    WorkspaceFailed,
    WorkspaceNotReady,
    WorkspaceReady,
    WorkspaceScaledFromZero,
    WorkspaceScaledToZero,
    about,
    event,
    schema_of,
)
from kaito.api.generated import generated
from kaito.api.resources import MACHINE, WORKSPACE, Kind, Object

FILE: Final = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
#: The Broker of config/eventing, by the address that Knative's multi-tenant Brokers have.
HOST, ADDRESS = "broker-ingress.knative-eventing.svc.cluster.local", "/kaito-system/kaito"
_ATTRIBUTES: Final = {
    "ce-specversion": {"type": "string", "const": "1.0"},
    "ce-type": {"type": "string", "description": "What has happened."},
    "ce-source": {"type": "string", "format": "uri-reference", "description": "The path of the object in the API."},
    "ce-subject": {"type": "string", "description": "The object, as KIND/NAMESPACE/NAME, or KIND/NAME."},
    "ce-id": {"type": "string", "description": "Of this transition of the object: whoever gets it twice, knows."},
    "ce-time": {"type": "string", "format": "date-time", "description": "When the controller saw it."},
    "ce-dataschema": {"type": "string", "format": "uri", "description": "The `$id` of the payload's schema."},
    "content-type": {"type": "string", "const": "application/json"},
}
_MAY_HAVE: Final = {
    "ce-traceparent": {"type": "string", "description": "Of a Workspace's: its trace, as W3C Trace Context writes it."},
}


class _Untitled(GenerateJsonSchema):
    """A field's name is title enough."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def document() -> Object:
    messages = [announcement.__name__ for announcement in ANNOUNCEMENTS]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "KAITO",
            "version": __version__,
            "description": "What becomes of Workspaces and their nodes, as CloudEvents for functions of your own."
            " Each is a transition in an object's status, said at least once; docs/events.md says how to subscribe.",
        },
        "defaultContentType": "application/json",
        "servers": {"knative": {"host": HOST, "protocol": "http", "description": "Knative's Brokers of a cluster."}},
        "channels": {
            "announcements": {
                "address": ADDRESS,
                "description": "The Broker kaito of the namespace kaito-system. A Trigger there subscribes to it.",
                "servers": [{"$ref": "#/servers/knative"}],
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "announce": {
                "action": "send",
                "summary": "Tells whoever has subscribed, in CloudEvents' binary mode.",
                "channel": {"$ref": "#/channels/announcements"},
                "messages": [{"$ref": f"#/channels/announcements/messages/{name}"} for name in messages],
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {
            "messages": {type(data).__name__: _message(obj, data) for obj, data in _examples()},
            "schemas": {
                "CloudEvent": {"type": "object", "properties": _ATTRIBUTES | _MAY_HAVE, "required": [*_ATTRIBUTES]},
                **{it.__name__: {"$id": schema_of(it), **_schema(it)} for it in ANNOUNCEMENTS},
            },
        },
    }


def table() -> list[str]:
    """The types for docs/events.md, a line each: when, and what their data hold besides what those of all do."""
    lines = ["| type | when | its data, besides |", "|---|---|---|"]
    for it in ANNOUNCEMENTS:
        own = [name for name in _schema(it)["properties"] if name not in _schema(Announcement)["properties"]]
        lines.append(f"| `{it.TYPE}` | {_when(it)} | {', '.join(f'`{name}`' for name in own)} |")
    return lines


def rendered() -> str:
    """The text of docs/asyncapi.yaml."""
    return generated(document(), "kaito.api.asyncapi")


def _when(announcement: type[Announcement]) -> str:
    assert announcement.__doc__ is not None
    return " ".join(announcement.__doc__.split())


def _schema(announcement: type[Announcement]) -> Object:
    return announcement.model_json_schema(mode="serialization", schema_generator=_Untitled)


def _message(obj: Object, data: Announcement) -> Object:
    announcement = type(data)
    own = {"ce-type": {"const": data.TYPE}, "ce-dataschema": {"const": schema_of(announcement)}}
    said = event(obj, data, "2026-11-23T11:58:20Z", datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    payload = said.pop("data")
    headers = {"content-type": said.pop("datacontenttype")} | {f"ce-{name}": value for name, value in said.items()}
    return {
        "name": data.TYPE,
        "summary": _when(announcement),
        "headers": {"type": "object", "allOf": [{"$ref": "#/components/schemas/CloudEvent"}], "properties": own},
        "payload": {"$ref": f"#/components/schemas/{announcement.__name__}"},
        "examples": [{"headers": headers, "payload": payload}],
    }


def _examples() -> list[tuple[Object, Announcement]]:
    """One of each type, with the object that it is about."""
    url = "http://workspace-smollm2.default.example.com"
    serves = _object(WORKSPACE, "workspace-smollm2", "default")
    tunes = _object(WORKSPACE, "tuning-smollm2", "default")
    claim = _object(MACHINE, "ws0123456ab")
    node = {"workspace": "default/workspace-smollm2", "node": "ws0123456ab", "instance_type": "Standard_D4s_v5"}
    tuning = {"preset": "smollm2-135m-instruct", "image": "registry.example.com/smollm2-mine:1"}
    digest = f"sha256:{'0123456789abcdef' * 4}"
    lost = f"node {node['node']} is not Ready"
    quota = "QuotaExceeded", "MachineLaunched: the subscription has no cores left of this family: ask for more"
    since = "2026-11-23T11:58:20Z"
    slept, out = f"no pods since {since}; a request to {url}/chat wakes it", "the node's memory did not suffice"
    ready = about(serves, "WorkspaceReady", f"answers at {url}/chat")
    return [
        (serves, WorkspaceReady(**ready, url=url, worker_nodes=(node["node"],))),
        (serves, WorkspaceNotReady(**about(serves, "WaitingForNodes", f"ResourceReady: 0 of 1 nodes ready; {lost}"))),
        (serves, WorkspaceFailed(**about(serves, *quota))),
        (serves, WorkspaceScaledToZero(**about(serves, "ScaledToZero", slept), url=url, since=since)),
        (serves, WorkspaceScaledFromZero(**about(serves, "Serving", f"answers at {url}/chat"), url=url)),
        (serves, WorkspaceDeleted(**about(serves, "Deleted", "everything of it is gone"))),
        (claim, NodeProvisioned(**about(claim, "Ready", f"node {node['node']} is Ready"), **node)),
        (claim, NodeLost(**about(claim, "NodeNotReady", lost), **node)),
        (claim, NodeFailed(**about(claim, *quota), **{**node, "node": ""})),
        (claim, NodeRemoved(**about(claim, "Removed", f"{node['node']} has no node left"), **node)),
        (tunes, TuningStarted(**about(tunes, "FetchingData", "what the tuning needs is being fetched"), **tuning)),
        (
            tunes,
            TuningSucceeded(
                **about(tunes, "WorkspaceReady", f"the adapter is in {tuning['image']}, digest {digest}"),
                **tuning,
                digest=digest,
            ),
        ),
        (tunes, TuningFailed(**about(tunes, "OutOfMemory", f"JobStarted: train: {out}"), **tuning)),
    ]


def _object(kind: Kind, name: str, namespace: str = "") -> Object:
    where = {"namespace": namespace} if namespace else {}
    meta = {"name": name, **where, "uid": "cba9630d-cf05-42f0-a9c8-31c77ddd12ed"}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}


if __name__ == "__main__":
    FILE.write_text(rendered())
