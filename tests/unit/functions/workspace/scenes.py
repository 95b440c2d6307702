"""What may be observed of a Workspace, and a look at what is decided then."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import presets
from functions.workspace.history import digest
from functions.workspace.nodes import claim_name
from functions.workspace.observed import Observed
from functions.workspace.reconcile import reconcile
from functions.workspace.settings import Settings
from kaito.api.claims import INSTANCE_TYPE
from kaito.api.resources import Object
from kaito.runtime.plan import Apply, Plan

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UID = "cba9630d-cf05-42f0-a9c8-31c77ddd12ed"
MACHINE_NAME = claim_name(UID, 0)
CATALOGUE = presets.load()


def workspace(preset: str = "phi-3-mini-4k-instruct", instance_type: str = "Standard_NC6s_v3", **spec: Any) -> Object:
    """As the function has marked it before."""
    obj: Object = {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {
            "name": "phi",
            "namespace": "default",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "7",
            "finalizers": ["workspace.finalizer.kaito.sh"],
        },
        "resource": {"count": 1, "instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": "phi"}}},
        "inference": {"preset": {"name": preset, "accessMode": "public"}},
        **spec,
    }
    obj["metadata"]["annotations"] = {"workspace.kaito.io/hash": digest(obj), "workspace.kaito.io/revision": "1"}
    return obj


def machine(*, ready: bool = False, **conditions: tuple[str, str, str]) -> Object:
    facts = {"MachineLaunched": ("True", "Launched", ""), **conditions}
    if ready:
        facts["Ready"] = ("True", "Ready", "")
    return {
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": {
            "name": MACHINE_NAME,
            "uid": "m1",
            "labels": {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default", "apps": "phi"},
        },
        "spec": {"requirements": [{"key": INSTANCE_TYPE, "operator": "In", "values": ["Standard_NC6s_v3"]}]},
        "status": {
            "nodeName": MACHINE_NAME if ready else "",
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": message}
                for kind, (status, reason, message) in facts.items()
            ],
        },
    }


def node(name: str = MACHINE_NAME, *, gpus: int = 1, ready: str = "True", ours: bool = True) -> Object:
    labels = {"apps": "phi", "node.kubernetes.io/instance-type": "Standard_NC6s_v3"}
    if ours:
        labels |= {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}, "conditions": [{"type": "Ready", "status": ready}]},
    }


def tainted(obj: Object) -> Object:
    return {**obj, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}


def decide(observed: Observed, settings: Settings | None = None) -> Plan:
    return reconcile(observed, CATALOGUE, settings or Settings(), NOW)


def applied(plan: Plan, kind: str) -> list[Object]:
    return [e.object for e in plan.effects if isinstance(e, Apply) and e.object["kind"] == kind and not e.subresource]


def status(plan: Plan) -> Object:
    return next(e.object["status"] for e in plan.effects if isinstance(e, Apply) and e.subresource == "status")


def says(plan: Plan) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status(plan)["conditions"]}


def served(observed: Observed, ready: tuple[str, str, str]) -> Object:
    """The Service as planned, with what Knative says of it."""
    service = copy.deepcopy(applied(decide(observed), "Service")[0])
    service["metadata"] |= {"uid": "s1", "generation": 1}
    service["status"] = {
        "observedGeneration": 1,
        "url": "http://phi.default.example.com",
        "conditions": [{"type": "Ready", "status": ready[0], "reason": ready[1], "message": ready[2]}],
    }
    return service


def settled() -> Observed:
    """A Workspace that serves, with its status written."""
    observed = Observed(workspace(), (machine(ready=True),), (node(),))
    observed = replace(observed, children=(served(observed, ("True", "", "")),))
    assert observed.workspace is not None
    return replace(observed, workspace={**observed.workspace, "status": status(decide(observed))})
