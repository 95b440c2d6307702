"""Knative Services as processes, against a real API server."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from kaito.api.resources import CONFIG_MAP, KNATIVE_SERVICE, NAMESPACE, NODE, REVISION, SECRET, Kind, Object
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.knative import FrontProxy, Runner
from kaito.embedded.manifests import CONFIG
from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube

T = TypeVar("T")
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


def until(look: Callable[[], T | None], seconds: float = 30) -> T:
    """Poll until ``look`` gives something true."""
    never, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "the condition never held"
        never.wait(0.02)
    return found


@dataclass
class LocalImages:
    """The images that a test says are on this machine."""

    here: dict[str, Path] = field(default_factory=dict)

    def resolve(self, image: str) -> Path | None:
        return self.here.get(image)

    def missing(self, image: str) -> str:
        return f"the weights image {image} is not here: use the preset smollm2-135m-instruct"


@dataclass
class Platform:
    """A runner and its proxy, and a namespace to use them in."""

    kube: Kube
    namespace: str
    proxy: FrontProxy
    gpu_device: Path
    images: LocalImages = field(default_factory=lambda: LocalImages())
    said: list[str] = field(default_factory=list)

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
    platform = Platform(kube, namespace, FrontProxy(), tmp_path / "gpu")
    runner = Runner(
        kube,
        kubeconfig=control_plane.kubeconfig,
        processes=ProcessTable(tmp_path),
        directory=tmp_path / "pods",
        route_port=platform.proxy.port,
        images=platform.images,
        gpu_device=platform.gpu_device,
        on_change=lambda namespace, name, state: platform.said.append(f"{name}: {state}"),
    )
    platform.proxy.start(runner)
    runner.start()
    yield platform
    begun = time.monotonic()
    runner.stop()
    platform.proxy.stop()
    assert time.monotonic() - begun < 8
    for service in kube.list(KNATIVE_SERVICE, namespace).items:
        kube.delete(KNATIVE_SERVICE, service["metadata"]["name"], namespace)
    kube.delete(NAMESPACE, namespace)


def test_a_service_becomes_ready_and_answers(platform: Platform) -> None:
    platform.apply("web")
    status = platform.ready("web")
    url = f"http://web.{platform.namespace}.localhost:{platform.proxy.port}"
    assert status["url"] == status["address"]["url"] == url
    assert status["latestReadyRevisionName"] == "web-00001"
    env = platform.env("web")
    assert (env["K_SERVICE"], env["K_REVISION"], env["K_CONFIGURATION"]) == ("web", "web-00001", "web")
    assert "KUBECONFIG" not in env
    assert env["PATH"].startswith(str(Path(sys.executable).parent))
    assert platform.get("web", "/a%20b?c=d").json()["path"] == "/a%20b?c=d"
    assert platform.said == ["web: Deploying", "web: Ready"]


def test_a_new_template_takes_over_when_it_is_ready(platform: Platform) -> None:
    platform.apply("web", env=[{"name": "VERSION", "value": "1"}])
    platform.ready("web")
    answers: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            answers.append(platform.get("web").status_code)

    client = threading.Thread(target=load)
    client.start()
    platform.apply("web", env=[{"name": "VERSION", "value": "2"}])
    status = platform.ready("web")
    stop.set()
    client.join()
    assert status["latestReadyRevisionName"] == "web-00002"
    assert platform.env("web")["VERSION"] == "2"
    assert set(answers) == {200}


def test_a_broken_new_template_leaves_the_old_one_serving(platform: Platform) -> None:
    platform.apply("web")
    platform.ready("web")
    platform.apply("web", command=["python", "-c", "print('no such model'); raise SystemExit(3)"])
    message = platform.failed("web")["message"]
    assert 'Revision "web-00002" failed with message: Container failed with exit code 3: no such model' in message
    assert platform.condition("web", "RoutesReady")["status"] == "True"
    assert platform.env("web")["K_REVISION"] == "web-00001"


def test_a_crash_is_a_bad_gateway_and_then_another_process(platform: Platform) -> None:
    platform.apply("web")
    platform.ready("web")
    crashed = platform.get("web", "/crash")
    assert crashed.status_code == 502
    assert "web ended without an answer" in crashed.text
    assert platform.env("web")["K_REVISION"] == "web-00001"
    assert platform.condition("web")["status"] == "True"


def test_what_keeps_crashing_says_so(platform: Platform) -> None:
    platform.apply("bad", command=["python", "-c", "import sys; sys.exit('out of memory, or so')"])
    condition = platform.failed("bad")
    assert condition["reason"] == "RevisionFailed"
    assert "exit code 1: out of memory, or so" in condition["message"]
    refused = platform.get("bad")
    assert refused.status_code == 503
    assert "ExitCode1" in refused.text


def test_scales_to_zero_and_back(platform: Platform) -> None:
    platform.apply("web", annotations={"autoscaling.knative.dev/window": "6s"})
    platform.ready("web")
    until(lambda: platform.said[-1] == "web: Scaled to zero")
    until(lambda: platform.activity("web-00001") == ("False", "NoTraffic"))
    assert platform.condition("web")["status"] == "True"
    assert platform.env("web")["K_REVISION"] == "web-00001"
    assert platform.said[-1] == "web: Ready"
    until(lambda: platform.activity("web-00001") == ("True", ""))


def test_at_zero_a_request_waits_for_a_node_too(platform: Platform) -> None:
    name = f"node-{platform.namespace}"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}

    def add_node() -> None:
        platform.kube.apply(node, manager=MANAGER)
        platform.make_ready({**node})

    selector = {"kubernetes.io/hostname": name}
    add_node()
    platform.apply("web", annotations={"autoscaling.knative.dev/window": "6s"}, nodeSelector=selector, timeoutSeconds=2)
    platform.ready("web")
    until(lambda: platform.said[-1] == "web: Scaled to zero")
    platform.kube.delete(NODE, name)
    until(lambda: platform.kube.get(NODE, name) is None)

    late = platform.get("web")
    assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
    assert late.text == "Service web was not ready within 2 seconds: no nodes available to schedule pods.\n"
    assert platform.activity("web-00001") == ("Unknown", "Queued")
    assert "no nodes available" in platform.failed("web")["message"]
    until(lambda: platform.activity("web-00001") == ("False", "NoTraffic"))
    assert platform.get("web").status_code == 503

    add_node()  # who gave up may ask again: the pod starts without that
    until(lambda: platform.activity("web-00001") == ("True", ""))
    assert platform.get("web").status_code == 200
    platform.kube.delete(NODE, name)


def test_of_its_revisions_those_are_there_that_requests_may_reach(platform: Platform) -> None:
    platform.apply("web")
    platform.ready("web")
    platform.apply("web", env=[{"name": "A", "value": "1"}])
    until(lambda: platform.status("web").get("latestReadyRevisionName") == "web-00002")

    def there() -> list[str]:
        found = platform.kube.list(REVISION, platform.namespace, {"serving.knative.dev/service": "web"}).items
        return [it["metadata"]["name"] for it in found]

    until(lambda: there() == ["web-00002"])
    platform.kube.delete(KNATIVE_SERVICE, "web", platform.namespace)
    until(lambda: there() == [])


def test_requests_wait_their_turn(platform: Platform) -> None:
    platform.apply("web", containerConcurrency=1)
    platform.ready("web")
    begun = time.monotonic()
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(platform.get, "web", "/slow") for _ in range(3)]
    assert [answer.result().status_code for answer in answers] == [200] * 3
    assert time.monotonic() - begun >= 1.5


def test_requests_wait_for_readiness_and_not_for_ever(platform: Platform) -> None:
    platform.apply("web", readinessProbe={"exec": {"command": ["false"]}}, timeoutSeconds=1)
    until(lambda: platform.condition("web")["status"] == "Unknown")
    answer = platform.get("web")
    assert (answer.status_code, answer.text) == (503, "Service web was not ready within 1 seconds.\n")
    assert answer.headers["Retry-After"] == "5"


def test_volumes_and_variables(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.gguf").write_text("weights")
    platform.images.here["tests/weights:1"] = tmp_path / "weights"
    platform.add(CONFIG_MAP, "settings", data={"a.yaml": "a: 1", "NAME": "value"})
    platform.add(SECRET, "hidden", stringData={"password": "pass"})
    platform.apply(
        "web",
        volumes=[
            {"name": "weights", "image": {"reference": "tests/weights:1"}},
            {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "a.yaml", "path": "b.yaml"}]}},
            {"name": "absent", "configMap": {"name": "absent", "optional": True}},
            {"name": "hidden", "secret": {"secretName": "hidden"}},
            {"name": "scratch", "emptyDir": {}},
        ],
        volumeMounts=[
            {"name": name, "mountPath": f"/mnt/{name}"}
            for name in ("weights", "settings", "absent", "hidden", "scratch")
        ],
        args=["--model=/mnt/weights/model.gguf", "--port=$(PORT)"],
        env=[
            {"name": "SETTINGS", "value": "/mnt/settings/b.yaml"},
            {"name": "SECRETS", "value": "/mnt/hidden"},
            {"name": "SCRATCH", "value": "/mnt/scratch"},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
        ],
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "SETTING_"}],
    )
    platform.ready("web")
    answer = platform.get("web").json()
    env, argv = answer["env"], answer["argv"]
    assert Path(argv[0].removeprefix("--model=")).read_text() == "weights"
    assert argv[1] == f"--port={env['PORT']}"
    assert Path(env["SETTINGS"]).read_text() == "a: 1"
    password = Path(env["SECRETS"]) / "password"
    assert (password.read_text(), password.stat().st_mode & 0o777) == ("pass", 0o600)
    assert list(Path(env["SCRATCH"]).iterdir()) == []
    assert (env["PASSWORD"], env["SETTING_NAME"]) == ("pass", "value")


def test_weights_and_a_gpu_that_are_not_here(platform: Platform) -> None:
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": platform.namespace}}
    platform.kube.apply({**node, "spec": {"taints": []}}, manager=MANAGER)
    platform.apply(
        "phi",
        nodeSelector={"kubernetes.io/hostname": platform.namespace},
        resources={"limits": {"nvidia.com/gpu": "1"}},
        volumes=[{"name": "w", "image": {"reference": "tests/phi:1"}}],
        volumeMounts=[{"name": "w", "mountPath": "/w"}],
    )
    assert "untolerated taint {node.kubernetes.io/not-ready: }" in platform.failed("phi")["message"]

    platform.make_ready(node)

    def says(*words: str) -> bool:
        message = platform.failed("phi")["message"]
        return all(word in message for word in words)

    until(lambda: says("weights image tests/phi:1 is not here", "smollm2-135m-instruct", "no NVIDIA GPU here"))
    platform.kube.delete(NODE, platform.namespace)
    until(lambda: says("no nodes available") or says("nodes are available"))


def test_a_gpu_that_is_free_again_goes_to_who_waits(platform: Platform) -> None:
    platform.gpu_device.touch()
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": platform.namespace}, "spec": {}}
    platform.kube.apply(node, manager=MANAGER)
    platform.make_ready(node)
    # It takes half a second to end, in which the next one is told that there is no GPU.
    late = "import os, signal, threading; end = lambda *_: threading.Timer(0.5, os._exit, [0]).start()"
    slow = f"{late}; signal.signal(signal.SIGTERM, end)\n{SERVER}"
    wanted: dict[str, Any] = {
        "command": ["python", "-c", slow],
        "nodeSelector": {"kubernetes.io/hostname": platform.namespace},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    platform.apply("web", **wanted)
    platform.ready("web")
    platform.kube.delete(KNATIVE_SERVICE, "web", platform.namespace)
    platform.apply("web", **wanted)
    assert "Insufficient nvidia.com/gpu" in platform.failed("web")["message"]
    platform.ready("web")
    platform.kube.delete(NODE, platform.namespace)


@pytest.mark.parametrize(
    "place", ["kaito.embedded.knative.service.refusals", "kaito.embedded.knative.pod.mounts.mount"]
)
def test_what_nobody_foresaw_is_said_and_tried_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def surprise(*_: object) -> list[str]:
        raise KeyError("of all things")

    platform.apply("other")
    platform.ready("other")
    with monkeypatch.context() as patch:
        patch.setattr(place, surprise)
        platform.apply("web")
        condition = platform.failed("web")
        assert "InternalError" in f"{condition} {platform.said}"
        assert "KeyError: 'of all things'" in condition["message"]
    platform.apply("web", env=[{"name": "VERSION", "value": "2"}])
    platform.ready("web")
    assert platform.get("other").status_code == 200


def test_what_knative_refuses_is_refused(platform: Platform) -> None:
    platform.apply("web", nodeName="n", command=["python", "-c", SERVER])
    condition = platform.failed("web")
    assert condition["reason"] == "AdmissionRefused"
    assert condition["message"] == "must not set the field(s): spec.template.spec.nodeName."
    assert platform.get("web").status_code == 503


def test_a_service_account_becomes_a_kubeconfig(platform: Platform) -> None:
    platform.apply("web", serviceAccountName="reader")
    assert 'serviceaccount "reader" not found' in platform.failed("web")["message"]
    platform.add(SERVICE_ACCOUNT, "reader")
    platform.ready("web")
    reader = Kube.from_kubeconfig(Path(platform.env("web")["KUBECONFIG"]))
    review = reader.create({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}})
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{platform.namespace}:reader"


def test_probes(platform: Platform) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    platform.apply("web", readinessProbe=probe, startupProbe=probe, livenessProbe=probe)
    begun = time.monotonic()
    platform.ready("web")
    assert time.monotonic() - begun < 9
    platform.apply("dead", livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1})
    assert "liveness probe failed" in platform.failed("dead")["message"]


def test_a_deleted_service_is_gone(platform: Platform) -> None:
    platform.apply("web")
    platform.ready("web")
    pod = Path(platform.env("web")["HOME"])
    assert pod.is_dir()
    platform.kube.delete(KNATIVE_SERVICE, "web", platform.namespace)
    until(lambda: not pod.exists())
    answer = until(lambda: r if (r := platform.get("web")).status_code == 404 else None)
    assert "the routes here are:" in answer.text


def test_an_api_server_restart(platform: Platform, control_plane: ControlPlane) -> None:
    platform.apply("web")
    platform.ready("web")
    control_plane.restart_apiserver()
    assert platform.env("web")["K_REVISION"] == "web-00001"
    platform.apply("web", env=[{"name": "VERSION", "value": "2"}])
    assert platform.ready("web")["latestReadyRevisionName"] == "web-00002"
