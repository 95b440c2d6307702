"""Statuses that are written only when they say something new, and the Events of what changed."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from kaito.api.conditions import conditions_of, parse_time, rfc3339, settle
from kaito.api.meta import Condition
from kaito.api.status import same_status, transitions

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OBJECT = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}}
CONDITIONS = st.lists(
    st.builds(
        Condition,
        type=st.sampled_from(["A", "B", "C"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        reason=st.sampled_from(["x", "y"]),
    ),
    unique_by=lambda condition: condition.type,
)


@given(CONDITIONS)
def test_what_is_written_is_not_written_again(conditions: list[Condition]) -> None:
    written = {"conditions": settle(conditions, {}, NOW)}
    later = datetime(2030, 1, 1, tzinfo=UTC)
    again = {"conditions": settle(conditions, conditions_of({"status": written}), later)}
    assert same_status(again, {"conditions": list(reversed(written["conditions"]))})
    assert list(transitions(OBJECT, conditions_of({"status": written}), conditions, "test", later)) == []


@given(CONDITIONS, CONDITIONS)
def test_a_time_moves_exactly_with_its_status(before: list[Condition], after: list[Condition]) -> None:
    old = conditions_of({"status": {"conditions": settle(before, {}, NOW)}})
    later = datetime(2030, 1, 1, tzinfo=UTC)
    for condition in settle(after, old, later):
        moved = parse_time(condition["lastTransitionTime"]) == later
        known = old.get(condition["type"])
        assert moved == (known is None or known.status != condition["status"])


def test_the_same_transition_has_the_same_event() -> None:
    conditions = [Condition(type="Ready", status="False", reason="Quota", message="none left")]
    (first,) = transitions(OBJECT, {}, conditions, "test", NOW)
    (second,) = transitions(OBJECT, {}, conditions, "test", datetime(2030, 1, 1, tzinfo=UTC))
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert (first["type"], first["message"]) == ("Warning", "Ready: none left")
    assert first["metadata"]["namespace"] == "default", "events of cluster-scoped objects"


def test_times_are_whole_seconds_in_utc() -> None:
    assert rfc3339(NOW.replace(microsecond=999)) == "2026-11-23T12:00:00Z"
    assert parse_time(rfc3339(NOW)) == NOW
