"""A runner of Knative Services, its proxy, and a namespace to use them in, against a real API server."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kaito.api.resources import KNATIVE_SERVICE, NAMESPACE, REVISION, Kind, Object
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.images import ImageStore
from kaito.embedded.knative.proxy import FrontProxy
from kaito.embedded.knative.runner import Runner
from kaito.embedded.manifests import CONFIG
from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube
from tests.integration.kaito.embedded.jobs import Jobs, until

MANAGER = "tests"
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
SERVER = """
import http.server, json, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            print("told to crash", flush=True)
            os._exit(7)
        if self.path == "/slow":
            threading.Event().wait(0.5)
        body = json.dumps({"env": dict(os.environ), "argv": sys.argv[1:], "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class LocalImages:
    """The images that a test says are on this machine; where it has a ``store``, those of that."""

    here: dict[str, Path] = field(default_factory=dict)
    store: ImageStore | None = None

    def missing(self, image: str) -> str | None:
        if self.store is not None:
            return self.store.missing(image)
        known = image in self.here
        return None if known else f"the weights image {image} is not here: use the preset smollm2-135m-instruct"

    def content(self, image: str, credentials: Sequence[bytes]) -> Path:
        return self.here[image] if self.store is None else self.store.content(image, credentials)


@dataclass
class Platform:
    """A runner and its proxy, and a namespace to use them in."""

    kube: Kube
    namespace: str
    proxy: FrontProxy
    gpu_device: Path
    make_runner: Callable[[], Runner]
    images: LocalImages
    said: list[str]
    runner: Runner = field(init=False)

    def start(self) -> None:
        self.runner = self.make_runner()
        self.runner.start()

    def stop(self) -> None:
        begun = time.monotonic()
        self.runner.stop()
        assert time.monotonic() - begun < 8
        assert [it.name for it in threading.enumerate() if it.name.startswith(("pod-", "replica-"))] == []

    def apply(self, name: str, annotations: dict[str, str] | None = None, **changes: Any) -> None:
        """A Service of the test server; ``changes`` go to its container, those named like pod fields to the pod."""
        pod_fields = (
            "volumes",
            "nodeSelector",
            "serviceAccountName",
            "nodeName",
            "timeoutSeconds",
            "containerConcurrency",
        )
        pod = {key: value for key, value in changes.items() if key in pod_fields}
        container = {"image": "tests/server:1", "command": ["python", "-c", SERVER], **changes}
        container = {key: value for key, value in container.items() if key not in pod}
        template = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [container], **pod}}
        self.kube.apply(self._object(KNATIVE_SERVICE, name, spec={"template": template}), manager=MANAGER)

    def add(self, kind: Kind, name: str, **content: Any) -> None:
        self.kube.apply(self._object(kind, name, **content), manager=MANAGER)

    def _object(self, kind: Kind, name: str, **content: Any) -> Object:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}

    def status(self, name: str) -> Object:
        service = self.kube.get(KNATIVE_SERVICE, name, self.namespace) or {}
        observed = (service.get("status") or {}).get("observedGeneration")
        return dict(service["status"]) if service and observed == service["metadata"]["generation"] else {}

    def condition(self, name: str, kind: str = "Ready") -> Object:
        found = [c for c in self.status(name).get("conditions", ()) if c["type"] == kind]
        return dict(found[0]) if found else {"status": "Missing"}

    def activity(self, revision: str) -> tuple[str, str]:
        """The status and the reason of its condition Active."""
        found = self.kube.get(REVISION, revision, self.namespace) or {}
        conditions = (found.get("status") or {}).get("conditions", ())
        return next(((it["status"], it.get("reason", "")) for it in conditions if it["type"] == "Active"), ("", ""))

    def ready(self, name: str) -> Object:
        until(lambda: self.condition(name)["status"] == "True")
        return self.status(name)

    def failed(self, name: str) -> Object:
        return until(lambda: c if (c := self.condition(name))["status"] == "False" else None)

    def make_ready(self, gpu_node: Object) -> None:
        """Give this Node one GPU and the label of its name."""
        name = gpu_node["metadata"]["name"]
        ready = {"type": "Ready", "status": "True", "reason": "Tests", "message": "tests"}
        gpu_node["status"] = {"allocatable": {"nvidia.com/gpu": "1"}, "conditions": [ready]}
        self.kube.apply(gpu_node, manager="tests-status", subresource="status")
        labelled = {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
        self.kube.apply({"apiVersion": "v1", "kind": "Node", **labelled}, manager=MANAGER)

    def get(self, name: str, path: str = "/") -> httpx.Response:
        host = f"{name}.{self.namespace}.localhost:{self.proxy.port}"
        return httpx.get(f"http://127.0.0.1:{self.proxy.port}{path}", headers={"Host": host}, timeout=30)

    def env(self, name: str) -> dict[str, str]:
        return dict(self.get(name).raise_for_status().json()["env"])


@pytest.fixture
def platform(control_plane: ControlPlane, kube: Kube, tmp_path: Path) -> Iterator[Platform]:
    namespace = f"test-{secrets.token_hex(4)}"
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, manager=MANAGER)
    for manifest in ("embedded/namespace.yaml", "knative/features.yaml"):
        kube.apply(yaml.safe_load((CONFIG / manifest).read_text()), manager=MANAGER)
    proxy, images, gpu_device, said = FrontProxy(), LocalImages(), tmp_path / "gpu", list[str]()

    def make_runner() -> Runner:
        return Runner(
            kube,
            kubeconfig=control_plane.kubeconfig,
            processes=ProcessTable(tmp_path),
            directory=tmp_path / "pods",
            route_port=proxy.port,
            images=images,
            gpu_device=gpu_device,
            on_change=lambda namespace, name, state: said.append(f"{name}: {state}"),
        )

    platform = Platform(kube, namespace, proxy, gpu_device, make_runner, images, said)
    platform.start()
    platform.proxy.start(platform.runner)
    yield platform
    platform.stop()
    platform.proxy.stop()
    for service in kube.list(KNATIVE_SERVICE, namespace).items:
        kube.delete(KNATIVE_SERVICE, service["metadata"]["name"], namespace)
    kube.delete(NAMESPACE, namespace)


@pytest.fixture
def jobs(platform: Platform, tmp_path: Path) -> Iterator[Jobs]:
    """Its Jobs, pods and Nodes are gone before the runner is."""
    jobs = Jobs(platform.kube, platform.namespace, tmp_path)
    until(lambda: platform.kube.get(SERVICE_ACCOUNT, "default", platform.namespace))
    yield jobs
    jobs.clear()
