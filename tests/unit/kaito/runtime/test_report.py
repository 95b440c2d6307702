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


class TestShared:
    """A status that two functions write."""

    def both(self, **theirs: object) -> Object:
        """Ours says it all already; ``theirs`` is beside it."""
        obj = claim("True", "True", "True")
        for it in obj["status"]["conditions"]:
            it["lastTransitionTime"] = "2026-11-23T00:00:00Z"
        obj["status"]["conditions"].append({"type": "Tuned", "status": "False"})
        obj["status"] |= {"step": 1, **theirs}
        return obj

    def write(self, obj: Object, *extra: Condition, **facts: object) -> Apply | None:
        found = [*conditions("True", "True", "True"), *extra]
        shared = ("step", "Tuned")
        effects = report(obj, found, facts, sums=("Ready",), shared=shared, function="test", now=NOW)
        return next((it for it in effects if isinstance(it, Apply)), None)

    def test_what_the_other_says_is_no_reason_to_write(self) -> None:
        assert self.write(self.both()) is None
        assert self.write(self.both(step=2)) is None

    def test_what_nobody_says_is(self) -> None:
        assert self.write(self.both(url="left of before")) is not None

    def test_it_is_written_beside_and_not_with_ours(self) -> None:
        effect = self.write(self.both(), state="Ready")
        assert effect is not None
        assert effect.beside == {"step", "Tuned"}
        assert effect.object["status"].keys() == {"state", "conditions"}
        assert {it["type"] for it in effect.object["status"]["conditions"]} == {*PARTS, "Ready"}

    def test_what_we_say_ourselves_is_ours_for_now(self) -> None:
        effect = self.write(self.both(), condition("Tuned", "True", "Told"), step=3)
        assert effect is not None
        assert effect.beside == frozenset()
        assert effect.object["status"]["step"] == 3
        assert self.write(self.both(), condition("Tuned", "False", "Told")) is not None
