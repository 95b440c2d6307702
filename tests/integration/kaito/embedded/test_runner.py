"""Knative Services as processes, against a real API server."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kaito.api.resources import CONFIG_MAP, KNATIVE_SERVICE, NODE, SECRET, Object
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.kube import Kube
from tests.integration.kaito.embedded.conftest import MANAGER, SERVER, SERVICE_ACCOUNT, Platform
from tests.integration.kaito.embedded.jobs import until


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
    "place", ["kaito.embedded.knative.service.refusals", "kaito.embedded.knative.sandbox.mounts.make"]
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
