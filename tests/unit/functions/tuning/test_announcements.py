"""What others are told of a Workspace that tunes, by both functions, over the whole of its life."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.tuning.observed import Observed
from functions.workspace.observed import Observed as Around
from kaito.api.resources import Object
from kaito.runtime.plan import Announce, Apply, Plan
from tests.announced import announced, ends, once
from tests.unit.functions.tuning.scenes import (
    COMPLETE,
    DIGEST,
    DONE,
    FAILED,
    PUSHED,
    config,
    decide,
    job,
    pod,
    status,
    workspace,
)
from tests.unit.functions.tuning.test_properties import STATES, WISHES, Histories
from tests.unit.functions.tuning.world import MANAGERS, World

WORKS, ENDS_BADLY = 0, 2  # of STATES
LIFE = [
    *("tuning.started", "tuning.started", "tuning.failed"),
    *("tuning.started", "tuning.succeeded", "workspace.deleted"),
]


class Crashing(World):
    """Where a function dies after so many effects, once before each turn as long as ``cuts`` last."""

    def __init__(self, cuts: list[int]) -> None:
        super().__init__()
        self._cuts = iter(cuts)

    def turn(self, manager: str, *, writes: int | None = None, seen: Observed | Around | None = None) -> Plan:
        if (cut := next(self._cuts, None)) is not None:
            super().turn(manager, writes=cut)
        return super().turn(manager, writes=writes, seen=seen)


def live(world: World) -> None:
    """From its beginning to its end: a try that fails, one more, none left, and another tuning that comes of it."""
    its = Histories()
    its.world = world

    def turns() -> None:
        for manager in (*MANAGERS, *MANAGERS):
            world.turn(manager)

    its.user_creates()
    turns()
    its.a_node_comes_or_is_lost(True)
    turns()
    for state in (WORKS, ENDS_BADLY, WORKS):
        its.a_pod_reports(state, "Failed" if state == ENDS_BADLY else "Pending")
        turns()
    its.a_job_ends(FAILED)
    turns()
    its.user_wishes(WISHES[1])
    its._settles()
    its.user_deletes()
    its._settles()


def test_each_change_is_said_once() -> None:
    assert "terminated" in STATES[ENDS_BADLY]
    world = Crashing([])
    live(world)
    assert ends(world.announced) == LIFE
    assert len({event["id"] for event in world.announced}) == len(LIFE)
    assert {event["subject"] for event in world.announced} == {"Workspace/default/poems"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=60))
def test_whatever_is_cut_short_is_said_again_by_the_same_name(cuts: list[int]) -> None:
    world = Crashing(cuts)
    live(world)
    assert ends(once(world.announced)) == LIFE


def test_what_came_of_it() -> None:
    seen = Observed(workspace(), job(COMPLETE), (pod(DONE, DONE, PUSHED, phase="Succeeded"),), config())
    plan = decide(seen)
    started, succeeded = announced(plan)
    assert [type(it) for it in plan.tells if isinstance(it, Announce | Apply)] == [Announce, Announce, Apply]
    assert ends([started, succeeded]) == ["tuning.started", "tuning.succeeded"]
    assert succeeded["data"] == {
        "name": "poems",
        "namespace": "default",
        "uid": workspace()["metadata"]["uid"],
        "reason": "WorkspaceReady",
        "message": f"the adapter is in example.com/adapters/poems:1, digest {DIGEST}",
        "preset": "smollm2-135m-instruct",
        "image": "example.com/adapters/poems:1",
        "digest": DIGEST,
    }


def test_nodes_that_cannot_be_had_are_its_failure_too() -> None:
    seen = Observed(workspace(resource=("False", "Quota")), config=config())
    (failed,) = announced(decide(seen))
    assert ends([failed]) == ["tuning.failed"]
    assert (failed["data"]["reason"], failed["data"]["message"]) == ("Quota", "ResourceReady: n1")
    obj: Object = {**workspace(), "status": status(decide(seen))}
    assert announced(decide(replace(seen, workspace=obj))) == []
