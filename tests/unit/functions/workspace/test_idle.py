"""A model at zero, its nodes, and the request that wants them back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from functions.workspace.observed import Observed
from functions.workspace.settings import Settings
from kaito.api.conditions import conditions_of, rfc3339
from kaito.api.resources import MACHINE, Object
from kaito.runtime.plan import Delete, Plan
from tests.unit.functions.workspace.scenes import (
    MACHINE_NAME,
    NOW,
    applied,
    decide,
    machine,
    node,
    says,
    served,
    status,
    workspace,
)

RETENTION = "kaito.sh/scale-to-zero-node-retention-period"
MESSAGES = [
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    "no nodes available to schedule pods",
]


def at_zero(minutes: float, active: str = "False", kept: str | None = None, **metadata: Any) -> Observed:
    """All is there, and the model's Revision has said ``active`` for so long."""
    obj = workspace()
    obj["metadata"]["annotations"]["kaito.sh/scale-to-zero"] = "true"
    observed = Observed(obj, (machine(ready=True),), (node(),))
    service = served(observed, ("True", "", ""))
    obj["metadata"]["annotations"] |= {RETENTION: kept} if kept else {}
    name = "phi-00001"
    service["status"] |= {"latestCreatedRevisionName": name, "latestReadyRevisionName": name}
    since = rfc3339(NOW - timedelta(minutes=minutes))
    revision = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {"name": name, "namespace": "default", "uid": "r1", **metadata},
        "status": {"conditions": [{"type": "Active", "status": active, "lastTransitionTime": since}]},
    }
    return replace(observed, children=(service,), routed=revision)


def released(observed: Observed) -> Observed:
    """The same with no machines, and that said."""
    gone = replace(observed, claims=(), nodes=())
    assert gone.workspace is not None
    return replace(gone, workspace={**gone.workspace, "status": status(decide(gone))})


def deletes(plan: Plan) -> list[str]:
    return [it.name for it in plan.effects if isinstance(it, Delete) and it.kind == MACHINE]


def said(plan: Plan, kind: str) -> str:
    return conditions_of({"status": status(plan)})[kind].message


def knative_says(observed: Observed, ready: str, reason: str, message: str) -> Observed:
    (service,) = observed.children
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return replace(observed, children=({**service, "status": {**service["status"], "conditions": [condition]}},))


def test_nodes_are_kept_for_a_while() -> None:
    plan = decide(at_zero(minutes=10))
    assert deletes(plan) == []
    assert (plan.settled, plan.requeue_after) == (False, 300)
    assert says(plan)["InferenceReady"] == ("True", "ScaledToZero")
    assert said(plan, "InferenceReady") == (
        "no pods since 2026-11-23T11:50:00Z; a request to http://phi.default.example.com/chat wakes it;"
        " its nodes are kept until 2026-11-23T12:05:00Z"
    )
    assert status(plan)["workerNodes"] == [MACHINE_NAME]


def test_then_they_are_given_back_and_the_workspace_stays_ready() -> None:
    plan = decide(at_zero(minutes=15))
    assert deletes(plan) == [MACHINE_NAME]
    assert not plan.settled
    assert says(plan) == {
        "MachineReady": ("True", "Released"),
        "ResourceReady": ("True", "Released"),
        "InferenceReady": ("True", "ScaledToZero"),
        "WorkspaceReady": ("True", "WorkspaceReady"),
        "WorkspaceSucceeded": ("True", "WorkspaceReady"),
    }
    assert "workerNodes" not in status(plan)
    assert said(plan, "InferenceReady").endswith("wakes it, and its nodes first")
    assert decide(released(at_zero(minutes=15))) == Plan(), "and it stays so"


def test_what_is_going_is_not_deleted_again() -> None:
    observed = at_zero(minutes=15)
    (claim,) = observed.claims
    going = {**claim, "metadata": {**claim["metadata"], "deletionTimestamp": "2026-11-23T12:00:00Z"}}
    plan = decide(replace(observed, claims=(going,)))
    assert deletes(plan) == []
    assert plan.settled


@pytest.mark.parametrize("active", ["Unknown", "True"])
def test_a_request_brings_them_back(active: str) -> None:
    asleep = released(at_zero(minutes=15))
    awake = at_zero(minutes=0, active=active)
    plan = decide(replace(asleep, routed=awake.routed))
    assert [it["metadata"]["name"] for it in applied(plan, "Machine")] == [MACHINE_NAME]
    assert says(plan)["WorkspaceReady"] == ("Unknown", "Provisioning")
    assert says(plan)["InferenceReady"] == (
        ("Unknown", "WaitingForNodes") if active == "Unknown" else ("True", "Serving")
    )
    assert not plan.settled


@pytest.mark.parametrize("message", MESSAGES)
def test_while_they_come_knative_says_that_no_node_is_there(message: str) -> None:
    waking = replace(at_zero(minutes=0, active="Unknown"), claims=(machine(),), nodes=())
    plan = decide(knative_says(waking, "False", "RevisionMissing", message))
    assert says(plan)["InferenceReady"] == ("Unknown", "Unschedulable")


@pytest.mark.parametrize("message", MESSAGES)
def test_what_a_pod_lacked_is_past_when_none_is_wanted(message: str) -> None:
    plan = decide(knative_says(at_zero(minutes=1), "False", "RevisionMissing", message))
    assert says(plan)["InferenceReady"] == ("True", "ScaledToZero")


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_what_else_is_wrong_is_told_at_zero_too(ready: str) -> None:
    plan = decide(knative_says(at_zero(minutes=15), ready, "RevisionFailed", "exit code 1"))
    assert deletes(plan) == [MACHINE_NAME]
    assert says(plan)["InferenceReady"][0] == ready


@pytest.mark.parametrize(("kept", "given_back"), [("0s", True), ("59s", True), ("1h30m", False)])
def test_how_long_is_the_workspaces_to_say(kept: str, given_back: bool) -> None:
    assert bool(deletes(decide(at_zero(minutes=1, kept=kept)))) == given_back


def test_or_else_the_installations() -> None:
    assert deletes(decide(at_zero(minutes=1), Settings(node_retention=60))) == [MACHINE_NAME]


def test_what_is_no_duration_is_told() -> None:
    plan = decide(at_zero(minutes=1, kept="soon"))
    assert says(plan)["WorkspaceReady"] == ("False", "AnnotationInvalid")
    assert "'soon' is not a duration like 30s, 10m or 1h" in said(plan, "ResourceReady")


def test_an_update_needs_nodes_first() -> None:
    observed = released(at_zero(minutes=15))
    assert observed.workspace is not None
    plain = {**observed.workspace["metadata"]["annotations"], "kaito.sh/scale-to-zero": "false"}
    metadata = {**observed.workspace["metadata"], "annotations": plain}
    plan = decide(replace(observed, workspace={**observed.workspace, "metadata": metadata}))
    assert applied(plan, "Service") == []
    assert [it["metadata"]["name"] for it in applied(plan, "Machine")] == [MACHINE_NAME]


def edit(observed: Observed, **fields: Any) -> Observed:
    (service,) = observed.children
    return replace(observed, children=({**service, "status": {**service["status"], **fields}},))


@pytest.mark.parametrize(
    "status",
    [
        {"latestCreatedRevisionName": "phi-00002"},
        {"latestCreatedRevisionName": "phi-00002", "latestReadyRevisionName": "phi-00002"},
        {"observedGeneration": 0},
    ],
)
def test_a_revision_that_is_past_says_nothing(status: Object) -> None:
    assert deletes(decide(edit(at_zero(minutes=15), **status))) == []


def test_nodes_that_people_bring_stay() -> None:
    brought = replace(at_zero(minutes=15), claims=(), nodes=(node("brought", ours=False),))
    plan = decide(brought)
    assert deletes(plan) == []
    assert plan.settled
    assert says(plan)["ResourceReady"] == ("True", "NodesReady")
    assert says(plan)["InferenceReady"] == ("True", "ScaledToZero")
    assert status(decide(at_zero(minutes=15), Settings(claim_kind=None)))["workerNodes"] == [MACHINE_NAME]


def test_with_enough_brought_nodes_no_other_is_kept() -> None:
    observed = at_zero(minutes=15)
    both = replace(observed, nodes=(*observed.nodes, node("brought", ours=False)))
    assert deletes(decide(both)) == [MACHINE_NAME]
    after = decide(replace(both, claims=(), nodes=both.nodes[1:]))
    assert status(after)["workerNodes"] == ["brought"]
    assert after.settled


def test_settings_from_the_environment() -> None:
    assert Settings.from_environment({"KAITO_NODE_RETENTION_PERIOD": "1h"}).node_retention == 3600
    assert Settings.from_environment({}).node_retention == 900
    with pytest.raises(ValueError, match="KAITO_NODE_RETENTION_PERIOD: 'x' is not a duration"):
        Settings.from_environment({"KAITO_NODE_RETENTION_PERIOD": "x"})
    assert Settings.from_environment({}).image_volumes
    assert not Settings.from_environment({"KAITO_IMAGE_VOLUMES": "false"}).image_volumes
    assert Settings.from_environment({"KAITO_TRUST_BUNDLE": "trusted"}).trust_bundle == "trusted"
    with pytest.raises(ValueError, match="KAITO_IMAGE_VOLUMES is 'no'; it must be true or false"):
        Settings.from_environment({"KAITO_IMAGE_VOLUMES": "no"})
