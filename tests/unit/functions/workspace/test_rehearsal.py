"""What would become of a Workspace, and what keeps it from being ready."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.workspace.observed import Observed
from functions.workspace.rehearsal import Explanation, Rehearsal, explain, rehearse
from functions.workspace.settings import Settings
from kaito.api.resources import NODE_CLAIM, Object
from tests.unit.functions.workspace.scenes import (
    CATALOGUE,
    MACHINE_NAME,
    NOW,
    applied,
    decide,
    machine,
    node,
    served,
    settled,
    status,
    workspace,
)


def rehearsed(observed: Observed, settings: Settings | None = None) -> Rehearsal:
    return rehearse(observed, CATALOGUE, settings or Settings(), NOW)


def explained(observed: Observed) -> Explanation:
    return explain(observed, CATALOGUE, Settings(), NOW)


def told(observed: Observed) -> Observed:
    """With the status that says so."""
    assert observed.workspace is not None
    return replace(observed, workspace={**observed.workspace, "status": status(decide(observed))})


def names(objects: tuple[Object, ...]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_a_new_workspace_would_get_nodes_and_a_service_on_them() -> None:
    found = rehearsed(Observed(workspace()))
    assert names(found.claims) == [MACHINE_NAME]
    ready = Observed(workspace(), (machine(ready=True),), (node(),))
    assert list(found.carriers) == applied(decide(ready), "Service"), "the very one that it gets in the end"
    assert (found.nodes, found.refusal) == ((), None)


def test_claims_are_of_the_kind_that_is_installed() -> None:
    found = rehearsed(Observed(workspace()), Settings(claim_kind=NODE_CLAIM))
    assert [claim["kind"] for claim in found.claims] == ["NodeClaim"]
    assert names(found.carriers) == ["phi"]


def test_a_node_that_is_there_is_used() -> None:
    found = rehearsed(Observed(workspace(), nodes=(node("brought", ours=False),)))
    assert (found.nodes, found.claims) == (("brought",), ())
    assert names(found.carriers) == ["phi"]


def test_nodes_that_nobody_has_brought_yet_are_waited_for() -> None:
    found = rehearsed(Observed(workspace(instance_type="")))
    assert (found.claims, found.carriers) == ((), ())
    assert found.waits.endswith("kubectl label node NODE apps=phi")
    assert rehearsed(Observed(workspace(instance_type=""), nodes=(node("ours", ours=False),))).waits == ""


def test_a_node_that_is_on_its_way_is_not_asked_for_again() -> None:
    found = rehearsed(Observed(workspace(), (machine(),)))
    assert found.claims == ()
    assert names(found.carriers) == ["phi"]


def test_what_is_there_already_is_not_created() -> None:
    assert rehearsed(settled()) == Rehearsal((MACHINE_NAME,))


@pytest.mark.parametrize(
    ("obj", "reason", "message"),
    [
        (workspace("falcon-40b"), "InsufficientGPUs", "falcon-40b needs 2 GPUs, and 1 x Standard_NC6s_v3 has 1"),
        (workspace("x"), "UnknownPreset", "there is no preset 'x'"),
    ],
)
def test_what_cannot_be_had_would_become_nothing(obj: Object, reason: str, message: str) -> None:
    found = rehearsed(Observed(obj))
    assert (found.claims, found.carriers) == ((), ())
    assert found.refusal is not None
    assert found.refusal.reason == reason
    assert found.refusal.message.startswith(message)
    assert "Delete the Workspace" not in found.refusal.message, "it is not there yet"


def test_what_is_ready_waits_for_nothing() -> None:
    found = explained(settled())
    assert (found.obstacle, found.look, found.behind) == (None, (), False)
    assert [part.type for part in found.parts] == ["MachineReady", "ResourceReady", "InferenceReady"]


def test_the_first_that_is_awaited_is_what_it_waits_for() -> None:
    found = explained(told(Observed(workspace(), (machine(),))))
    assert found.obstacle is not None
    assert (found.obstacle.type, found.obstacle.status) == ("MachineReady", "Unknown")
    assert found.obstacle.last_transition_time == "2026-11-23T12:00:00Z"
    assert "kubectl describe machine -l kaito.sh/workspace=phi" in found.look
    assert not found.behind


def test_a_failure_is_told_in_the_clouds_words_before_what_is_awaited() -> None:
    failed = machine(MachineLaunched=("False", "SubscriptionQuotaReached", "NCSv3 Family Cores quota is 0"))
    found = explained(told(Observed(workspace(), (failed,))))
    assert found.obstacle is not None
    assert found.obstacle.reason == "SubscriptionQuotaReached"
    assert "NCSv3 Family Cores quota is 0" in found.obstacle.message


def test_a_model_that_does_not_come_up_shows_where_to_look() -> None:
    observed = Observed(workspace(), (machine(ready=True),), (node(),))
    found = explained(told(replace(observed, children=(served(observed, ("False", "RevisionFailed", "exit 1")),))))
    assert found.obstacle is not None
    assert (found.obstacle.type, found.obstacle.message) == ("InferenceReady", "exit 1")
    assert "kubectl logs -n default -l kaito.sh/workspace=phi -c model --tail=50" in found.look


def test_a_status_that_lags_is_told() -> None:
    """As where the functions hear nothing: the node is gone, and the status says ready still."""
    found = explained(replace(settled(), nodes=()))
    assert found.behind
    assert found.obstacle is not None
    assert found.obstacle.type == "ResourceReady"
    assert "kubectl describe node -l apps=phi" in found.look


def test_a_refused_write_is_what_it_waits_for_until_it_is_not_wanted_any_more() -> None:
    refused = {"type": "WorkspaceReady", "status": "False", "reason": "WriteRefused", "message": "no rights"}
    obj = {**workspace(), "status": {"conditions": [refused]}}
    found = explained(Observed(obj))
    assert found.obstacle is not None
    assert (found.obstacle.reason, found.obstacle.message) == ("WriteRefused", "no rights")
    later = explained(Observed(obj, (machine(),))).obstacle
    assert later is not None
    assert later.reason != "WriteRefused"


def test_a_workspace_that_goes_waits_for_what_is_left() -> None:
    obj = workspace()
    obj["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    found = explained(Observed(obj, (machine(),)))
    assert found.obstacle is not None
    assert found.obstacle.type == "WorkspaceDeleting"
    assert MACHINE_NAME in found.obstacle.message
