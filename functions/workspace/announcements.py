"""What others are told of a Workspace: whether it is ready, at zero, gone. Pure.

Each is a transition of its status, and comes before the write that makes it; what ends it is the finalizer's removal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from functions.workspace.idle import AT_ZERO, Rest, slept
from kaito.api.announcements import (
    Announcement,
    WorkspaceDeleted,
    WorkspaceFailed,
    WorkspaceNotReady,
    WorkspaceReady,
    WorkspaceScaledFromZero,
    WorkspaceScaledToZero,
    about,
    event,
)
from kaito.api.conditions import conditions_of, rfc3339, turned
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.runtime.plan import Announce


def readiness(obj: Object, found: Sequence[Condition], facts: Object, now: datetime) -> tuple[Announce, ...]:
    """Whether the whole is ready, where its status has said otherwise. Of one that goes, nothing."""
    before, ready = conditions_of(obj), _of("WorkspaceReady", found)
    if ready is None or obj["metadata"].get("deletionTimestamp") or (since := turned(ready, before)) is None:
        return ()
    said = about(obj, ready.reason, ready.message)
    data: Announcement
    if ready.status == "True":
        data = WorkspaceReady(**said, url=facts.get("url", ""), worker_nodes=facts.get("workerNodes", ()))
    elif ready.status == "False":
        data = WorkspaceFailed(**said)
    elif ready.type in before and before[ready.type].status == "True":
        data = WorkspaceNotReady(**said)
    else:
        return ()
    return (Announce(event(obj, data, since, now)),)


def scaling(
    obj: Object, found: Sequence[Condition], facts: Object, resting: Rest | None, now: datetime
) -> tuple[Announce, ...]:
    """That its model has come to zero, or is there no more. What tells one such time from another is since when: the
    condition stays True, and so does its time."""
    inference, before = _of("InferenceReady", found), conditions_of(obj).get("InferenceReady")
    if inference is None:
        return ()
    was, said = before is not None and before.reason == AT_ZERO, about(obj, inference.reason, inference.message)
    url = facts.get("url", "")
    if resting is not None and inference.reason == AT_ZERO and not was:
        since = rfc3339(resting.since)
        return (Announce(event(obj, WorkspaceScaledToZero(**said, url=url, since=since), since, now)),)
    if resting is None and before is not None and was:
        return (Announce(event(obj, WorkspaceScaledFromZero(**said, url=url), slept(before), now)),)
    return ()


def deletion(obj: Object, message: str, now: datetime) -> Announce:
    """For who does what comes after it: the last there is to say."""
    return Announce(event(obj, WorkspaceDeleted(**about(obj, "Deleted", message)), "", now), tells=False)


def _of(kind: str, found: Sequence[Condition]) -> Condition | None:
    return next((condition for condition in found if condition.type == kind), None)
