"""What the page is told, as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from console.history import Row
from console.models import chats, key_of
from console.states import State
from console.timeline import timeline
from kaito.api.conditions import conditions_of
from kaito.api.resources import Object

Json = dict[str, Any]


def workspace_view(obj: Object, *, live: bool, gone: bool = False) -> Json:
    """``live``: the API server says so; ``gone``: it is no more."""
    meta, status = obj["metadata"], obj.get("status") or {}
    ready = conditions_of(obj).get("WorkspaceReady")
    return {
        "key": key_of(obj),
        "instance": (obj.get("resource") or {}).get("instanceType", ""),
        "does": _does(obj),
        "created": meta.get("creationTimestamp", ""),
        "state": status.get("state", ""),
        "url": status.get("url", ""),
        "ready": ready.status if ready else "",
        "message": ready.message if ready else "no function has seen it yet",
        "conditions": [
            {
                "type": it.type,
                "status": it.status,
                "reason": it.reason,
                "message": it.message,
                "since": it.last_transition_time,
            }
            for it in conditions_of(obj).values()
        ],
        "gone": gone,
        "chats": live and not gone and chats(obj),
    }


def moment_view(states: Sequence[State], at: datetime, *, live: bool) -> Json | None:
    """A Workspace, and its way up to there: as the last of these states, at that time."""
    if not states:
        return None
    last = states[-1]
    stages = timeline(last.object, states)
    return {
        "workspace": workspace_view(last.object, live=live, gone=last.gone),
        "at": at.isoformat(),
        "timeline": [
            {
                "name": it.name,
                "began": it.began.isoformat(),
                "ended": it.ended.isoformat() if it.ended else None,
                "standing": it.standing,
                "note": it.note,
            }
            for it in stages
        ],
    }


def row_view(row: Row) -> Json:
    line = row.line
    return {
        "name": row.name,
        "time": line.record.when.isoformat(),
        "function": line.record.function.removeprefix("kaito-"),
        "what": line.what,
        "outcome": line.outcome,
        "failed": line.failed,
        "seconds": line.answer.data["seconds"] if line.answer else None,
        "decided": bool(line.decisions),
        "workspaces": sorted(row.workspaces),
    }


def _does(obj: Object) -> str:
    for work, said in (("inference", ""), ("tuning", "tunes ")):
        if wanted := obj.get(work):
            return f"{said}{(wanted.get('preset') or {}).get('name') or 'a pod template'}"
    return ""
