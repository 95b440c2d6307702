"""What a Workspace may be besides a preset as it is, and how it changes: on the embedded platform."""

from __future__ import annotations

from typing import Any

import httpx
import yaml

from kaito.api.resources import CONTROLLER_REVISION, KNATIVE_SERVICE, STATEFUL_SET, WORKSPACE, Object
from tests.e2e.conftest import User, example, until

QUESTION = "What is the capital of France?"


def settings(text: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mine", "namespace": "default"},
        "data": {"inference_config.yaml": text},
    }


def apply(user: User, obj: Object) -> None:
    done = user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))
    assert done.returncode == 0, done.stderr


def smollm2(**inference: Any) -> Object:
    obj = example("smollm2")
    return {**obj, "inference": {**obj["inference"], **inference}}


def test_settings_are_waited_for_take_effect_and_change(user: User) -> None:
    name = "workspace-smollm2"
    apply(user, smollm2(config="mine"))
    user.wait_for(name, "InferenceReady", "False")
    assert "names the ConfigMap mine, and there is none here" in user.kaito("why", name).stdout
    apply(user, settings("transformers: {generate_kwargs: {max_new_tokens: 2, do_sample: false}}\n"))
    # Nothing tells of a ConfigMap: the fast sweep finds it, or whatever else wakes the function.
    user.wait_for(name, "WorkspaceReady")
    short = user.chat(name, {"prompt": QUESTION}).json()["Result"]
    assert "Paris" not in short

    apply(user, smollm2())
    until(lambda: "Paris" in user.chat(name, {"prompt": QUESTION}).text, what="the answer without the settings")
    found = user.kube.get(WORKSPACE, name, "default")
    assert found is not None
    assert found["metadata"]["annotations"]["workspace.kaito.io/revision"] == "2"
    revisions = user.kube.list(CONTROLLER_REVISION, "default", {"kaito.sh/workspace": name}).items
    assert sorted((it["revision"], it["data"]["inference"].get("config", "")) for it in revisions) == [
        (1, "mine"),
        (2, ""),
    ]
    user.delete_all()
    until(
        lambda: not user.kube.list(CONTROLLER_REVISION, "default", {"kaito.sh/workspace": name}).items,
        what="the history's end",
    )
    user.kubectl("delete", "configmap", "mine")


PROGRAM = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["WORD"].encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


def own(word: str, **spec: Any) -> Object:
    container = {
        "name": "own",
        "image": "example.com/own:1",
        "command": ["python", "-c", PROGRAM],
        "env": [{"name": "WORD", "value": word}],
        # Not as Knative would write it: what it makes of it is no reason to apply it again.
        "resources": {"limits": {"cpu": "0.5"}},
    }
    return {**example("smollm2"), "inference": {"template": {"spec": {"containers": [container], **spec}}}}


def get(user: User, name: str) -> str:
    host = f"{name}.default.localhost:{user.platform.port}"
    return httpx.get(
        f"http://127.0.0.1:{user.platform.port}/", headers={"Host": host}, timeout=90, trust_env=False
    ).text


def test_a_pod_template_runs_on_the_nodes_and_changes(user: User) -> None:
    name = "workspace-smollm2"
    apply(user, own("one"))
    user.wait_for(name, "WorkspaceReady")
    assert get(user, name) == "one"
    apply(user, own("two"))
    until(lambda: get(user, name) == "two", what="the second template")
    user.wait_for(name, "WorkspaceReady")
    refused = user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(own("two", restartPolicy="Always")))
    assert "a Knative Service, which has no spec.restartPolicy" in refused.stderr


def test_what_knative_refuses_is_told_in_its_words(user: User) -> None:
    apply(user, own("one", dnsPolicy="Default"))
    user.wait_for("workspace-smollm2", "WorkspaceReady", "False")
    why = user.kaito("why", "workspace-smollm2").stdout
    assert "must not set the field(s): spec.template.spec.dnsPolicy" in why


def test_somebodys_edit_is_put_right(user: User) -> None:
    name = user.apply("smollm2")
    user.wait_for(name, "WorkspaceReady")
    spoilt = '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--nonsense"}]'
    assert user.kubectl("patch", "ksvc", name, "--type=json", "-p", spoilt).returncode == 0

    def mended() -> bool:
        service = user.kube.get(KNATIVE_SERVICE, name, "default")
        assert service is not None
        return "--nonsense" not in service["spec"]["template"]["spec"]["containers"][0]["args"]

    until(mended, what="the Service as it was")
    user.wait_for(name, "WorkspaceReady")


def test_a_model_that_nobody_asks_for_has_no_nodes(user: User) -> None:
    name = "workspace-smollm2"
    obj = own("one")
    obj["metadata"]["annotations"] = {
        "kaito.sh/scale-to-zero": "true",
        "kaito.sh/scale-to-zero-node-retention-period": "2s",
    }
    obj["inference"]["template"]["metadata"] = {"annotations": {"autoscaling.knative.dev/window": "6s"}}
    apply(user, obj)
    user.wait_for(name, "WorkspaceReady")
    until(lambda: user.says(name)["InferenceReady"] == ("True", "ScaledToZero"), what="zero")
    until(lambda: user.says(name)["ResourceReady"] == ("True", "Released"), what="its nodes' release")
    until(lambda: not {"node", "machine.karpenter.sh"} & {it.partition("/")[0] for it in user.left()}, what="no node")
    assert user.is_true(name, "WorkspaceReady")
    assert "a request to http://workspace-smollm2" in user.kaito("why", name).stdout

    assert get(user, name) == "one", "the request has waited for a node and a pod"
    assert any(it.startswith("node/ws") for it in user.left())
    until(lambda: user.says(name)["ResourceReady"] == ("True", "Released"), what="their release again")


def test_one_model_on_two_nodes_is_for_a_cluster(user: User) -> None:
    obj = example("smollm2")
    obj["resource"]["count"] = 2
    planned = user.kaito("plan", "-f", "-", stdin=yaml.safe_dump(obj)).stdout
    assert "creates  StatefulSet workspace-smollm2: 2 pods, together one model" in planned
    apply(user, obj)
    user.wait_for("workspace-smollm2", "WorkspaceReady", "False")
    why = user.kaito("why", "workspace-smollm2").stdout
    assert (
        "the embedded platform runs no StatefulSets, which serve one model in several processes; use a cluster" in why
    )
    assert user.kube.list(STATEFUL_SET).items == ()
