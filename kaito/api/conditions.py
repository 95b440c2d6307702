"""Conditions, as Kubernetes' conventions want them: keyed by type, times that move only with the status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kaito.api.meta import Condition
from kaito.api.resources import Object


def rfc3339(moment: datetime) -> str:
    """Whole seconds in UTC, the precision of Kubernetes' own times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def conditions_of(obj: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions in an object's status, by type."""
    found = (obj.get("status") or {}).get("conditions") or ()
    # The API server itself writes null for a time that nobody gave: not set, like what is absent.
    given = ({key: value for key, value in item.items() if value is not None} for item in found)
    return {item["type"]: Condition.model_validate(item) for item in given}


def obstacle(parts: Sequence[Condition]) -> Condition | None:
    """What keeps all of ``parts`` from being True: the first that failed, else the first that is awaited."""
    return next((p for p in parts if p.status == "False"), None) or next(
        (p for p in parts if p.status == "Unknown"), None
    )


def turned(condition: Condition, before: Mapping[str, Condition]) -> str | None:
    """Since when the condition has had the status that it leaves; empty where it had none, None where it keeps it."""
    old = before.get(condition.type)
    if old is None:
        return ""
    return None if old.status == condition.status else old.last_transition_time


def settle(wanted: Iterable[Condition], before: Mapping[str, Condition], now: datetime) -> list[Object]:
    """``wanted`` as the status holds it: a condition whose status stays keeps its lastTransitionTime."""
    result = []
    for condition in wanted:
        old = before.get(condition.type)
        kept = old is not None and old.status == condition.status and old.last_transition_time
        time = old.last_transition_time if kept and old else rfc3339(now)
        result.append(condition.model_copy(update={"last_transition_time": time}).model_dump(by_alias=True))
    return result
