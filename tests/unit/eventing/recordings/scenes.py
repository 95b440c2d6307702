"""Recordings of the real decisions of each function, about objects that tests of them have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import presets
from eventing.recordings.replay import FUNCTIONS
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from functions.provisioner.observed import Observed as ProvisionerObserved
from functions.tuning.observed import Observed as TuningObserved
from functions.tuning.settings import FOLDER_VARIABLE, SHIPPED
from functions.workspace.observed import Observed
from kaito.api.resources import WORKSPACE, Object
from kaito.runtime.keys import Key
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.recorder import Recorder
from tests.recorded import Kept
from tests.unit.functions.tuning import scenes as tuning
from tests.unit.functions.workspace.scenes import machine, node, settled, workspace

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = Key(WORKSPACE, "default", "phi")


class Told:
    """One process of a function: it is told of events, decides by its own code, and all writes are done."""

    def __init__(self, function: str, sink: Kept, environment: Mapping[str, str] | None = None) -> None:
        folders: dict[str, Path] = {presets.FOLDER_VARIABLE: presets.FOLDER, FOLDER_VARIABLE: SHIPPED}
        self._decisions = FUNCTIONS[function].decisions(environment or {})
        self._recorder = Recorder(function, "0.1.0", Installation.of(environment or {}, folders), sink)
        self._now = NOW

    def event(self, obj: Object, observed: Any, verb: str = "update", key: Key = KEY, hints: int = 1) -> str:
        """Returns what the recording calls the delivery; nothing is ``observed`` where it says nothing new."""
        self._now += timedelta(seconds=1)
        meta = obj["metadata"]
        headers = {
            "ce-specversion": "1.0",
            "ce-id": f"event-{self._now:%S}",
            "ce-source": "https://kubernetes.default.svc",
            "ce-type": f"dev.knative.apiserver.resource.{verb}",
            "ce-apiversion": obj["apiVersion"],
            "ce-kind": obj["kind"],
            "ce-name": meta["name"],
            "ce-namespace": meta.get("namespace", ""),
            "content-type": "application/json",
        }
        delivery = self._recorder.delivery(headers, json.dumps(obj).encode())
        if observed is not None:
            plan = self._decisions.reconcile(observed, self._now)
            decision = self._recorder.decision(key, [delivery], observed, self._now, plan, None)
            for place, _ in enumerate(plan.effects):
                self._recorder.write(decision, place, None, 0.002)
        self._recorder.answer(delivery, 202, "", hints, 0.01)
        return delivery

    def close(self) -> None:
        self._recorder.close()


ARM = {
    "KAITO_CLOUD": "aks",
    "ARM_SUBSCRIPTION_ID": "s",
    "ARM_RESOURCE_GROUP": "g",
    "AZURE_CLUSTER_NAME": "c",
    "KAITO_NODE_REPAIR_AFTER": "never",
}


def claim() -> Object:
    obj = machine()
    obj["metadata"] |= {"finalizers": ["kaito.sh/termination"], "annotations": {}}
    return obj


def later(observed: Observed) -> Observed:
    """Another state of its Workspace is another version of it."""
    assert observed.workspace is not None
    meta = {**observed.workspace["metadata"], "resourceVersion": "8"}
    return replace(observed, workspace={**observed.workspace, "metadata": meta})


def history() -> Kept:
    """Of three functions, each told of a few things."""
    sink = Kept()
    first = Told("kaito-workspace", sink)
    obj = workspace()
    first.event(obj, Observed(obj), "add")
    first.event(machine(), Observed(obj, (machine(),)))
    first.event(node(), Observed(obj, (machine(ready=True),), (node(),)))
    first.event(node(), later(settled()))
    first.event(obj, Observed(None, (machine(),)), "delete")
    first.close()
    second = Told("kaito-tuning", sink)
    second.event(tuning.workspace(), TuningObserved(tuning.workspace()))
    second.close()
    third = Told("kaito-provisioner", sink, ARM)
    pool = Pool("p", "Failed", error=AzureError(200, "SkuNotAvailable", "none of it here", 5.0))
    for seen in (None, pool, AzureError(429, "TooManyRequests", "wait", 30.0)):
        third.event(claim(), ProvisionerObserved(claim(), pool=seen, cluster="c"))
    third.close()
    return sink
