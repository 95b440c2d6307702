"""What others are told of a node: by the stages that its claim adds up to. Pure.

Each is a transition of the claim's status, and comes before the write that makes it; the last comes before the
finalizer's removal.
"""

from __future__ import annotations

from datetime import datetime

from kaito.api.announcements import Announcement, NodeFailed, NodeLost, NodeProvisioned, NodeRemoved, about, event
from kaito.api.claims import Claim
from kaito.api.conditions import turned
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE
from kaito.runtime.plan import Announce


def readiness(
    obj: Object, claim: Claim, ready: Condition, facts: Object, instance_type: str, now: datetime
) -> tuple[Announce, ...]:
    """Whether the node can be used, where the claim's status has said otherwise. That one that goes cannot, is no
    news."""
    since = turned(ready, claim.conditions)
    if since is None:
        return ()
    node = facts.get("nodeName") or claim.status.node_name
    said = about(obj, ready.reason, ready.message) | _node(claim, node, instance_type)
    data: Announcement
    if ready.status == "True":
        data = NodeProvisioned(**said)
    elif ready.status == "False":
        data = NodeFailed(**said)
    elif claim.ready and not claim.deleting:
        data = NodeLost(**said)
    else:
        return ()
    return (Announce(event(obj, data, since, now)),)


def removal(obj: Object, claim: Claim, message: str, now: datetime) -> Announce:
    """For who does what comes after it: the last there is to say."""
    said = about(obj, "Removed", message) | _node(claim, claim.status.node_name)
    return Announce(event(obj, NodeRemoved(**said), "", now), tells=False)


def _node(claim: Claim, name: str, instance_type: str = "") -> dict[str, str]:
    labels = claim.metadata.labels
    whose = (labels.get(LABEL_NAMESPACE, ""), labels.get(LABEL_WORKSPACE, ""))
    return {
        "workspace": "/".join(whose) if all(whose) else "",
        "node": name,
        "instance_type": instance_type or next(iter(claim.instance_types), ""),
    }
