"""What others are told of a Workspace, over the whole of its life, whatever comes between."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.workspace.observed import Observed
from functions.workspace.reconcile import refused
from kaito.api.resources import NODE, Object
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Announce, Apply, Delete, Mark, Plan, Refused
from tests.announced import announced, ends, once
from tests.unit.functions.workspace.cluster import Cluster
from tests.unit.functions.workspace.scenes import MACHINE_NAME, NOW, UID, decide, says, settled, status, workspace
from tests.unit.functions.workspace.test_properties import Histories


class Crashing(Cluster):
    """Where the function dies after so many effects, once before each of its turns as long as ``cuts`` last."""

    def __init__(self, cuts: list[int]) -> None:
        super().__init__()
        self._cuts = iter(cuts)

    def reconcile(self, namespace: str, name: str, *, writes: int | None = None, seen: Observed | None = None) -> Plan:
        if (cut := next(self._cuts, None)) is not None:
            super().reconcile(namespace, name, writes=cut)
        return super().reconcile(namespace, name, writes=writes, seen=seen)


def live(cluster: Cluster) -> None:
    """A Workspace from its beginning to its end."""
    world = Histories()
    world.cluster = cluster
    world.create("phi", 1)
    world.user_annotates("phi", "true", "False")
    world._settles("phi")
    world.node_vanishes(0)
    world._settles("phi")
    for minutes in (1, 20):  # with its nodes kept, and without
        world.nobody_asks_for_a_model(0, minutes)
        world._settles("phi")
        world.somebody_asks_for_it(0, "Unknown")
        world._settles("phi")
        world.somebody_asks_for_it(0, "True")
        world._settles("phi")
    world.user_annotates("phi", "true", "True")  # which cannot be
    world._settles("phi")
    world.user_annotates("phi", "false", "False")
    world._settles("phi")
    world.user_deletes("phi")
    world._settles("phi")


LIFE = [
    f"workspace.{it}"
    for it in (
        *("ready", "not-ready", "ready"),
        *("scaled-to-zero", "scaled-from-zero"),
        *("scaled-to-zero", "scaled-from-zero", "not-ready", "ready"),
        *("failed", "ready", "deleted"),
    )
]


def test_each_change_is_said_once() -> None:
    cluster = Crashing([])
    live(cluster)
    assert ends(cluster.announced) == LIFE
    assert len({event["id"] for event in cluster.announced}) == len(LIFE)
    for event in cluster.announced:
        assert event["source"] == "/apis/kaito.sh/v1alpha1/namespaces/default/workspaces/phi"
        assert event["subject"] == "Workspace/default/phi"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 8), max_size=60))
def test_whatever_is_cut_short_is_said_again_by_the_same_name(cuts: list[int]) -> None:
    cluster = Crashing(cuts)
    live(cluster)
    first = once(cluster.announced)
    assert ends(first) == LIFE
    by_id = {event["id"]: event for event in first}
    for event in cluster.announced:
        assert {**event, "time": ""} == {**by_id[event["id"]], "time": ""}


def test_what_it_says() -> None:
    observed = settled()
    before: Object = {**observed.workspace, "status": {}}  # type: ignore[dict-item]
    (said,) = announced(decide(replace(observed, workspace=before)))
    assert said["time"] == "2026-11-23T12:00:00Z"
    assert said["dataschema"] == "tag:kaito.sh,2026:v1/workspace.ready"
    assert said["data"] == {
        "name": "phi",
        "namespace": "default",
        "uid": UID,
        "reason": "WorkspaceReady",
        "message": "answers at http://phi.default.example.com/chat",
        "url": "http://phi.default.example.com",
        "workerNodes": [MACHINE_NAME],
    }


def test_it_is_said_before_the_write_that_makes_it_old_news() -> None:
    failed = decide(Observed(workspace("phi-33")))
    assert [type(effect) for effect in failed.tells if isinstance(effect, Announce | Apply)] == [Announce, Apply]
    going = workspace(metadata={**workspace()["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"})
    assert [type(effect) for effect in decide(Observed(going)).does] == [Announce, Mark]


def test_of_one_that_goes_only_its_end_is_said() -> None:
    observed = settled()
    assert observed.workspace is not None
    meta = {**observed.workspace["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"}
    going = replace(observed, workspace={**observed.workspace, "metadata": meta})
    plan = decide(going)
    assert says(plan)["WorkspaceReady"] == ("False", "Deleting")
    assert announced(plan) == []
    assert ends(announced(decide(replace(going, claims=(), children=())))) == ["workspace.deleted"]


def test_a_refused_write_is_a_failure() -> None:
    observed = settled()
    write = Refused(Delete(NODE, "n", "", "u", "w"), KubeError(403, "Forbidden", "no rights"))
    (said,) = announced(refused(observed, write, NOW))
    assert ends([said]) == ["workspace.failed"]
    assert said["data"]["reason"] == "WriteRefused"
    assert "no rights" in said["data"]["message"]


def test_another_reason_for_the_same_is_no_news() -> None:
    first = decide(Observed(workspace("phi-33")))
    obj = {**workspace("phi-34"), "status": status(first)}
    again = decide(Observed(obj))
    assert status(again) != status(first)
    assert announced(again) == []


def test_of_nodes_alone_nothing_is_said() -> None:
    """Of a Workspace that tunes the tuning function tells."""
    obj = {it: value for it, value in workspace().items() if it != "inference"}
    obj["tuning"] = {"preset": {"name": "phi-33"}, "method": "lora", "input": {}, "output": {"image": "i"}}
    plan = decide(Observed(obj))
    assert says(plan).keys() == {"ResourceReady"}
    assert announced(plan) == []
