"""What others are told of: a type of CloudEvent for each change that a user cares about, and the model of its data.

docs/asyncapi.yaml is generated from these (kaito.api.asyncapi).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import Field

from kaito.api.conditions import rfc3339
from kaito.api.meta import ApiModel
from kaito.api.resources import Kind, Object


class Announcement(ApiModel):
    """The data of an event about an object; ``TYPE`` is the event's."""

    TYPE: ClassVar[str]
    name: str = Field(description="Of the object.")
    namespace: str = Field(description="Of the object; empty where its kind has none.")
    uid: str = Field(description="Of the object: another one of the same name has another.")
    reason: str = Field(description="In one word, as the object's condition says it.")
    message: str = Field(description="For a person: what is so, or what to do.")


class WorkspaceReady(Announcement):
    """The model answers at `url`. Said anew each time that it has not been ready in between."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.ready"
    url: str = Field(description="The model answers below it: at /chat, for one.")
    worker_nodes: tuple[str, ...] = Field(description="The names of its nodes; none while a model at zero has none.")


class WorkspaceNotReady(Announcement):
    """A Workspace that was ready is not, and will be by itself: a node was lost, or something else is asked for."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.not-ready"


class WorkspaceFailed(Announcement):
    """A Workspace that serves cannot go on, and somebody has to act."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.failed"


class WorkspaceScaledToZero(Announcement):
    """Nobody asks for the model, and its last pod is gone. A request to `url` wakes it."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.scaled-to-zero"
    url: str = Field(description="Where the model answers.")
    since: str = Field(description="When the last pod went.", json_schema_extra={"format": "date-time"})


class WorkspaceScaledFromZero(Announcement):
    """A model that was at zero is asked for, or deployed anew, and gets its pods back."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.scaled-from-zero"
    url: str = Field(description="Where the model answers; empty while it is deployed anew.")


class WorkspaceDeleted(Announcement):
    """A Workspace was deleted, and nothing that it had is left. Of one that tunes, too."""

    TYPE: ClassVar[str] = "sh.kaito.workspace.deleted"


class _OfNode(Announcement):
    """The object is the Machine or NodeClaim that asks for the node."""

    workspace: str = Field(description="Whose node it is, as NAMESPACE/NAME; empty where its claim does not say.")
    node: str = Field(description="The node's name; empty where there is or was none.")
    instance_type: str = Field(description="What the node is, or is to be; empty where nobody said.")


class NodeProvisioned(_OfNode):
    """The node can be used: Ready, and with its GPUs. Said anew of one that was lost and is back."""

    TYPE: ClassVar[str] = "sh.kaito.node.provisioned"


class NodeLost(_OfNode):
    """A node that could be used is gone, or not Ready; it is waited for, or another one is made."""

    TYPE: ClassVar[str] = "sh.kaito.node.lost"


class NodeFailed(_OfNode):
    """There is no node, or it stays when it should go, and somebody has to act: in the cloud's own words."""

    TYPE: ClassVar[str] = "sh.kaito.node.failed"


class NodeRemoved(_OfNode):
    """The claim was deleted, and nothing of its node is left."""

    TYPE: ClassVar[str] = "sh.kaito.node.removed"


class _OfTuning(Announcement):
    """The object is the Workspace that tunes."""

    preset: str = Field(description="The model that is tuned.")
    image: str = Field(description="Where the adapter is pushed to; empty where it stays in a volume.")


class TuningStarted(_OfTuning):
    """The Job of a Workspace that tunes works. Said anew when it works again after a try that failed."""

    TYPE: ClassVar[str] = "sh.kaito.tuning.started"


class TuningSucceeded(_OfTuning):
    """The adapter is made, and pushed."""

    TYPE: ClassVar[str] = "sh.kaito.tuning.succeeded"
    digest: str = Field(description="Of the image that was pushed; empty where it stays in a volume.")


class TuningFailed(_OfTuning):
    """A Workspace that tunes cannot go on, and somebody has to act."""

    TYPE: ClassVar[str] = "sh.kaito.tuning.failed"


ANNOUNCEMENTS: Final[tuple[type[Announcement], ...]] = (
    WorkspaceReady,
    WorkspaceNotReady,
    WorkspaceFailed,
    WorkspaceScaledToZero,
    WorkspaceScaledFromZero,
    WorkspaceDeleted,
    NodeProvisioned,
    NodeLost,
    NodeFailed,
    NodeRemoved,
    TuningStarted,
    TuningSucceeded,
    TuningFailed,
)


def schema_of(announcement: type[Announcement]) -> str:
    """The events' dataschema: a name for the schema of their data, which is another one when that is."""
    return f"tag:kaito.sh,2026:v1/{announcement.TYPE.removeprefix('sh.kaito.')}"


def about(obj: Object, reason: str, message: str) -> dict[str, Any]:
    """What the data of all types say."""
    meta = obj["metadata"]
    return {
        "name": meta["name"],
        "namespace": meta.get("namespace", ""),
        "uid": meta.get("uid", ""),
        "reason": reason,
        "message": message,
    }


def event(obj: Object, data: Announcement, since: str, now: datetime) -> Object:
    """The CloudEvent about the object, in CloudEvents' JSON format.

    ``since`` is the time that tells this transition of the object from others to the same. Its id is made of that, so
    that of whatever is decided twice there is one.
    """
    kind, digest = Kind.of(obj), hashlib.sha256(f"{data.uid}/{data.TYPE}/{since}".encode())
    return {
        "specversion": "1.0",
        "id": digest.hexdigest()[:32],
        "source": kind.path(data.namespace, data.name),
        "type": data.TYPE,
        "subject": "/".join(part for part in (kind.kind, data.namespace, data.name) if part),
        "time": rfc3339(now),
        "dataschema": schema_of(type(data)),
        "datacontenttype": "application/json",
        "data": data.model_dump(mode="json", by_alias=True),
    }
