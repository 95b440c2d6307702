"""Writing a status and telling about it: the status apply, and the Kubernetes Events of its transitions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from kaito.api.conditions import rfc3339
from kaito.api.meta import Condition, ObjectMeta
from kaito.api.resources import Kind, Object


def identity(obj: Object) -> Object:
    """An apply's head: the very object, by uid, so that nothing is made anew where it is gone."""
    meta = obj["metadata"]
    keep = ("name", "namespace", "uid")
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {key: meta[key] for key in keep if key in meta},
    }


def controller_reference(kind: Kind, meta: ObjectMeta) -> Object:
    """The ownerReference of what an object alone controls, and what goes when it goes."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned(obj: Object, owner: ObjectMeta) -> bool:
    """What somebody else made under a name of ours is not ours to change or delete."""
    return any(it.get("uid") == owner.uid for it in obj["metadata"].get("ownerReferences") or ())


def same_status(wanted: Object, found: Object | None) -> bool:
    """Does the object's status say just what is wanted? Conditions are compared by type, not by place."""
    return _by_type(wanted) == _by_type(found or {})


def _by_type(status: Object) -> Object:
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    return {**status, "conditions": conditions}


def is_transition(condition: Condition, before: Mapping[str, Condition]) -> bool:
    """Has it another status or reason than before? Another message only says the same in other words."""
    old = before.get(condition.type)
    return old is None or (old.status, old.reason) != (condition.status, condition.reason)


def transitions(
    obj: Object, before: Mapping[str, Condition], after: Iterable[Condition], component: str, now: datetime
) -> Iterator[Object]:
    """A Kubernetes Event for each condition that changed its status or reason.

    The same change has the same name, so telling it twice tells it once; coming back to a state is another change.
    """
    meta = obj["metadata"]
    for condition in after:
        if not is_transition(condition, before):
            continue
        old = before.get(condition.type)
        since = old.last_transition_time if old else ""
        digest = hashlib.sha256(
            f"{meta['uid']}/{since}/{condition.type}/{condition.reason}/{condition.message}".encode()
        )
        yield event(
            obj,
            digest.hexdigest()[:16],
            "Warning" if condition.status == "False" else "Normal",
            condition.reason,
            f"{condition.type}: {condition.message}",
            component,
            now,
        )


def event(obj: Object, digest: str, kind: str, reason: str, message: str, component: str, now: datetime) -> Object:
    """A Kubernetes Event about an object; of one ``digest`` it is the same."""
    meta, time = obj["metadata"], rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{digest}", "namespace": meta.get("namespace", "default")},
        "involvedObject": {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": meta["name"],
            "uid": meta["uid"],
            **({"namespace": meta["namespace"]} if "namespace" in meta else {}),
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": component},
        "reportingComponent": component,
    }
