"""The event of a transition: who it is about, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito.api.announcements import ANNOUNCEMENTS, WorkspaceDeleted, WorkspaceFailed, about, event, schema_of
from kaito.api.conditions import turned
from kaito.api.meta import Condition
from kaito.api.resources import Object

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SINCE = "2026-11-23T11:00:00Z"


def workspace(uid: str = "u", **meta: Any) -> Object:
    return {"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", "metadata": {"name": "phi", "uid": uid, **meta}}


def failed(obj: Object, since: str = SINCE, message: str = "none left", now: datetime = NOW) -> Object:
    return event(obj, WorkspaceFailed(**about(obj, "Quota", message)), since, now)


def test_an_event_says_all_that_cloudevents_wants() -> None:
    said = failed(workspace(namespace="default"))
    assert len(said.pop("id")) == 32
    assert said == {
        "specversion": "1.0",
        "source": "/apis/kaito.sh/v1alpha1/namespaces/default/workspaces/phi",
        "type": "sh.kaito.workspace.failed",
        "subject": "Workspace/default/phi",
        "time": "2026-11-23T12:00:00Z",
        "dataschema": "tag:kaito.sh,2026:v1/workspace.failed",
        "datacontenttype": "application/json",
        "data": {"name": "phi", "namespace": "default", "uid": "u", "reason": "Quota", "message": "none left"},
    }


def test_of_an_object_without_a_namespace() -> None:
    said = failed(workspace())
    assert (said["source"], said["subject"]) == ("/apis/kaito.sh/v1alpha1/workspaces/phi", "Workspace/phi")
    assert said["data"]["namespace"] == ""


@given(st.text(), st.datetimes(timezones=st.just(UTC)))
def test_its_id_is_that_of_the_transition(message: str, now: datetime) -> None:
    assert failed(workspace(), message=message, now=now)["id"] == failed(workspace())["id"]


def test_other_transitions_have_other_ids() -> None:
    obj = workspace()
    others = [failed(obj), failed(workspace("v")), failed(obj, since=""), failed(obj, since="2026-11-23T11:00:01Z")]
    others.append(event(obj, WorkspaceDeleted(**about(obj, "Deleted", "gone")), SINCE, NOW))
    assert len({it["id"] for it in others}) == len(others)


def test_types_and_schemas_are_each_ones_own() -> None:
    assert len({it.TYPE for it in ANNOUNCEMENTS}) == len({schema_of(it) for it in ANNOUNCEMENTS}) == len(ANNOUNCEMENTS)


@pytest.mark.parametrize(
    ("before", "since"),
    [(None, ""), ("False", SINCE), ("True", None)],
)
def test_since_when_what_a_condition_leaves_was_so(before: str | None, since: str | None) -> None:
    old = Condition(type="Ready", status=before, last_transition_time=SINCE) if before else None
    new = Condition(type="Ready", status="True", reason="another")
    assert turned(new, {"Ready": old} if old else {}) == since
