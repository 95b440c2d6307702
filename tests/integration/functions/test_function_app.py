"""The functions as Azure Functions has them, on the real API server."""

from __future__ import annotations

import importlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from kubernetes.config import kube_config

from kaito.api.claims import NodeRequest, render_claim
from kaito.api.resources import MACHINE, WORKSPACE, Object
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.kube import Kube
from kaito.runtime.recording.records import DECISION, PREFIX


def triggers(function: str) -> dict[str, Any]:
    app = importlib.reload(importlib.import_module(f"functions.{function}.function_app")).app
    return {it.get_function_name(): it.get_user_function() for it in app.get_functions()}


def post(function: str, obj: Object) -> func.HttpResponse:
    """What an ApiServerSource sends of an object that has come to be."""
    meta = obj["metadata"]
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "test",
        "ce-type": "dev.knative.apiserver.resource.add",
        "ce-kind": obj["kind"],
        "ce-name": meta["name"],
        "ce-namespace": meta.get("namespace", ""),
        "ce-apiversion": obj["apiVersion"],
        "content-type": "application/json",
    }
    request = func.HttpRequest(method="POST", url="/events", headers=headers, body=json.dumps(obj).encode())
    answer: func.HttpResponse = triggers(function)["events"](request)
    return answer


def recorded(directory: Path, kind: str) -> list[Object]:
    """Records of that kind, once there are some."""
    deadline, never = time.monotonic() + 20, threading.Event()
    while True:
        events = (json.loads(line) for file in directory.glob("*.ndjson") for line in file.read_bytes().splitlines())
        if found := [it for it in events if it["type"] == PREFIX + kind]:
            return found
        assert time.monotonic() < deadline, f"no {kind} is recorded"
        never.wait(0.05)


@pytest.fixture(autouse=True)
def cluster(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    # $KUBECONFIG, which the package reads once in a process.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(control_plane.kubeconfig))


def test_the_provisioner_takes_a_machine_on(kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAITO_RECORDING", tmp_path.as_uri())
    labels = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "default"}
    machine = kube.create(render_claim(NodeRequest("wsfunctionapp", "Standard_NC6s_v3", "50Gi", labels), MACHINE))
    try:
        assert post("provisioner", machine).status_code == 202
        found = kube.get(MACHINE, "wsfunctionapp")
        assert found is not None
        assert found["metadata"]["finalizers"] == ["karpenter.sh/termination"]
        (decision,) = recorded(tmp_path, DECISION)
        assert decision["subject"] == "machine/wsfunctionapp"
    finally:
        kube.patch(MACHINE, "wsfunctionapp", None, {"metadata": {"finalizers": None}})
        kube.delete(MACHINE, "wsfunctionapp")


def test_the_workspace_function_asks_for_a_workspaces_machine(kube: Kube) -> None:
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "function-app"}}, manager="tests")
    workspace = kube.create(
        {
            "apiVersion": WORKSPACE.api_version,
            "kind": "Workspace",
            "metadata": {"name": "phi", "namespace": "function-app"},
            "resource": {
                "instanceType": "Standard_NC6s_v3",
                "labelSelector": {"matchLabels": {"apps": "function-app"}},
            },
            "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
        }
    )
    of_it = {"kaito.sh/workspace": "phi", "kaito.sh/workspacenamespace": "function-app"}
    try:
        assert post("workspace", workspace).status_code == 202
        assert len(kube.list(MACHINE, labels=of_it).items) == 1
    finally:
        kube.patch(WORKSPACE, "phi", "function-app", {"metadata": {"finalizers": None}})
        kube.delete(WORKSPACE, "phi", "function-app")
        for machine in kube.list(MACHINE, labels=of_it).items:
            kube.delete(MACHINE, machine["metadata"]["name"])
