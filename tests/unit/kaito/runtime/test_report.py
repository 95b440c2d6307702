"""Which Kubernetes Events a status makes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kaito.api.meta import Condition, ConditionStatus
from kaito.api.resources import Object
from kaito.runtime.plan import Apply, Tell
from kaito.runtime.report import report

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PARTS = ("Launched", "Registered", "Initialized")


def conditions(*said: str) -> list[Condition]:
    """``said`` of each part: a status, and after a slash a reason other than the part's name."""
    found = []
    for part, words in zip(PARTS, said, strict=True):
        status, _, reason = words.partition("/")
        found.append(condition(part, status, reason or part))  # type: ignore[arg-type]
    return [*found, condition("Ready", found[-1].status, found[-1].reason)]


def condition(kind: str, status: ConditionStatus, reason: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message="m")


def claim(*said: str) -> Object:
    obj: Object = {"apiVersion": "v1", "kind": "Claim", "metadata": {"name": "ws1", "uid": "u"}}
    if said:
        obj["status"] = {"conditions": [it.model_dump(by_alias=True) for it in conditions(*said)]}
    return obj


def told(obj: Object, *said: str) -> list[str]:
    """The Events' reasons, which come before the status."""
    *events, status = report(obj, conditions(*said), {}, sums=("Ready",), function="test", now=NOW)
    assert isinstance(status, Apply)
    assert status.subresource == "status"
    return [event.event["reason"] for event in events if isinstance(event, Tell)]


@pytest.mark.parametrize(
    ("before", "now", "events"),
    [
        ((), ("Unknown", "Unknown", "Unknown"), []),
        ((), ("True", "Unknown", "Unknown"), ["Launched"]),
        (("True", "Unknown", "Unknown"), ("True", "True", "Unknown"), ["Registered"]),
        (("True", "Unknown", "Unknown"), ("True", "True", "True"), ["Initialized"]),
        (("Unknown", "Unknown", "Unknown"), ("False/Quota", "Unknown", "Unknown"), ["Quota"]),
        (("False/Quota", "Unknown", "Unknown"), ("False/Capacity", "Unknown", "Unknown"), ["Capacity"]),
        (("True", "True", "True"), ("True", "Unknown/Gone", "Unknown"), []),
        (("True", "True", "True"), ("True", "True", "True/Idle"), ["Idle"]),
    ],
)
def test_what_failed_and_how_far_it_has_come(before: tuple[str, ...], now: tuple[str, ...], events: list[str]) -> None:
    assert told(claim(*before), *now) == events


def test_a_status_that_says_it_all_already_is_not_written() -> None:
    obj = claim("True", "True", "True")
    for it in obj["status"]["conditions"]:
        it["lastTransitionTime"] = "2026-11-23T00:00:00Z"
    assert report(obj, conditions("True", "True", "True"), {}, sums=("Ready",), function="test", now=NOW) == ()
