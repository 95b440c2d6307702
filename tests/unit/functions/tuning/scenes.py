"""What may be observed of a Workspace that tunes, and a look at what is decided then."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any, Final

import presets
from functions.tuning.observed import Observed
from functions.tuning.reconcile import reconcile
from functions.tuning.settings import SHIPPED, Settings, templates
from kaito.api.resources import Object
from kaito.runtime.plan import Apply, Plan

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
UID: Final = "cba9630d-cf05-42f0-a9c8-31c77ddd12ed"
CATALOGUE: Final = presets.load()
FOLDER: Final = SHIPPED
SETTINGS: Final = Settings(templates=templates(FOLDER))
LORA: Final = SETTINGS.templates["lora"]
TO_IMAGE: Final = {"image": "example.com/adapters/poems:1", "imagePushSecret": "push"}


def workspace(
    instance_type: str = "Standard_D4s_v5",
    *,
    preset: Object | None = None,
    source: Object | None = None,
    output: Object | None = None,
    resource: tuple[str, str] | None = ("True", "NodesReady"),
    **tuning: Any,
) -> Object:
    """``resource``: what the workspace function says of its nodes."""
    conditions = [{"type": "MachineReady", "status": "True", "reason": "Provisioned", "message": "m"}]
    if resource is not None:
        conditions.append({"type": "ResourceReady", "status": resource[0], "reason": resource[1], "message": "n1"})
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": "poems", "namespace": "default", "uid": UID, "generation": 1},
        "resource": {
            "count": 1,
            "instanceType": instance_type,
            "labelSelector": {"matchLabels": {"apps": "poems"}},
        },
        "tuning": {
            "preset": preset or {"name": "smollm2-135m-instruct"},
            "method": "lora",
            "input": source or {"urls": ["https://example.com/poems.jsonl"]},
            "output": output or TO_IMAGE,
            **tuning,
        },
        "status": {"observedGeneration": 1, "workerNodes": ["n1"], "conditions": conditions},
    }


def config(text: str = LORA) -> Object:
    """The ConfigMap of its training config."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "lora-params-template", "namespace": "default"},
        "data": {"training_config.yaml": text},
    }


def decide(observed: Observed, settings: Settings = SETTINGS) -> Plan:
    return reconcile(observed, CATALOGUE, settings, NOW)


def applied(plan: Plan, kind: str) -> list[Object]:
    return [e.object for e in plan.effects if isinstance(e, Apply) and e.object["kind"] == kind and not e.subresource]


def status(plan: Plan) -> Object:
    return next(e.object["status"] for e in plan.effects if isinstance(e, Apply) and e.subresource == "status")


def says(plan: Plan) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status(plan)["conditions"]}


def words(plan: Plan) -> dict[str, str]:
    """The conditions' messages."""
    return {c["type"]: c["message"] for c in status(plan)["conditions"]}


def written(obj: Object, plan: Plan) -> Object:
    """The Workspace with the status that is planned, beside what the other function says."""
    after = next((e for e in plan.effects if isinstance(e, Apply) and e.subresource == "status"), None)
    if after is None:
        return obj
    before = obj["status"]
    others = {name: value for name, value in before.items() if name in after.beside}
    conditions = [it for it in before["conditions"] if it["type"] in after.beside]
    said = after.object["status"]
    return {**obj, "status": {**others, **said, "conditions": [*conditions, *said["conditions"]]}}


def job(*conditions: Object, of: Object | None = None, uid: str = "j1") -> Object:
    """The Job as planned, with what its controller says of it."""
    (made,) = applied(decide(Observed(of or workspace(), config=config())), "Job")
    made = copy.deepcopy(made)
    made["metadata"]["uid"] = uid
    made["status"] = {"conditions": list(conditions)}
    return made


COMPLETE: Final = {
    "type": "Complete",
    "status": "True",
    "reason": "CompletionsReached",
    "message": "all pods succeeded",
}
FAILED: Final = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
}
CONTAINERS: Final = ("fetch", "train", "push")
RUNNING: Final = {"running": {"startedAt": "2026-11-23T12:00:00Z"}}
INITIALIZING: Final = {"waiting": {"reason": "PodInitializing"}}
DONE: Final = {"terminated": {"exitCode": 0, "reason": "Completed"}}
DIGEST: Final = f"sha256:{'a' * 64}"
PUSHED: Final = {"terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps({"digest": DIGEST})}}


def ended(code: int, message: str = "", reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def pod(
    *states: Object,
    phase: str = "Pending",
    name: str = "poems-a",
    created: str = "2026-11-23T12:00:00Z",
    owner: str = "j1",
    containers: tuple[str, ...] = CONTAINERS,
    **more: Any,
) -> Object:
    """``states`` of its containers, in the order in which they run; those of the others are not known yet."""
    statuses = [{"name": it, "state": state} for it, state in zip(containers, states, strict=False)]
    last = containers[-1]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "creationTimestamp": created,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "poems", "uid": owner}],
        },
        "status": {
            "phase": phase,
            "podIP": "10.0.0.7",
            "initContainerStatuses": [it for it in statuses if it["name"] != last],
            "containerStatuses": [it for it in statuses if it["name"] == last],
            **more,
        },
    }


TRAINING: Final = pod(DONE, RUNNING, INITIALIZING)
