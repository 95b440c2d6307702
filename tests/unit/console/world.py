"""A cluster with Workspaces, and a model that one of them serves."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator

from flask import Flask, Response, request

from kaito.api.resources import Object
from kaito.runtime.kube import KubeError, WatchEvent
from tests.scripted import ScriptedCluster, ScriptedWatch, listed

MADE = "2026-11-23T12:00:00Z"


def workspace(name: str = "phi", *, url: str = "", version: str = "1", message: str = "", **spec: Object) -> Object:
    """It serves where there is a ``url``."""
    status, reason = ("True", "Serving") if url else ("Unknown", "Deploying")
    conditions = [
        {"type": kind, "status": value, "reason": why, "message": message, "lastTransitionTime": MADE}
        for kind, value, why in (
            ("ResourceReady", "True", "NodesReady"),
            ("InferenceReady", status, reason),
            ("WorkspaceReady", status, reason),
        )
    ]
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": version,
            "creationTimestamp": MADE,
        },
        "resource": {"instanceType": "Standard_NC6s_v3"},
        **(spec or {"inference": {"preset": {"name": "phi-3-mini"}}}),
        "status": {"conditions": conditions, "state": "Ready" if url else "Pending", "url": url},
    }


class Watching(ScriptedWatch):
    """Says what it is told while it is open."""

    def __init__(self) -> None:
        super().__init__([])
        self.said: queue.Queue[WatchEvent | None] = queue.Queue()

    def __iter__(self) -> Iterator[WatchEvent]:
        return iter(self.said.get, None)

    def close(self) -> None:
        self.said.put(None)


def cluster(*objects: Object, watch: ScriptedWatch | None = None) -> ScriptedCluster:
    watches: dict[str, list[ScriptedWatch | KubeError]] = {"Workspace": [watch]} if watch else {}
    return ScriptedCluster("https://api", {"Workspace": [listed("1", *objects)]}, watches)


class Model:
    """As the inference server answers, word by word; ``asked``: the hosts, paths and bodies that it was asked by."""

    def __init__(self, words: tuple[str, ...] = ("Paris", " it is")) -> None:
        self.asked: list[tuple[str, str, Object]] = []
        self.refusal = ""
        self.app = Flask("model")

        @self.app.get("/v1/models")
        def models() -> Object:
            self.asked.append((request.host, request.path, {}))
            return {"data": [{"id": "phi-3-mini"}]}

        @self.app.post("/v1/chat/completions")
        def completions() -> Response:
            self.asked.append((request.host, request.path, request.get_json()))
            if self.refusal:
                return Response(json.dumps({"error": {"message": self.refusal}}), 400)
            said: list[Object] = [{"choices": [{"delta": {"content": word}}]} for word in words]
            said.append({"choices": [], "usage": {"completion_tokens": len(words)}})
            lines = [f"data: {json.dumps(it)}\n\n" for it in said]
            return Response((it for it in [*lines, "data: [DONE]\n\n"]), mimetype="text/event-stream")
