"""The main job, as its user does it: apply, wait, chat, delete; on real parts from end to end."""

from __future__ import annotations

import json

import yaml

from kaito.api.resources import KNATIVE_SERVICE, MACHINE, NODE, PING_SOURCE
from kaito.cli.watching import EventLog
from kaito.embedded.manifests import CONFIG
from tests.e2e.conftest import User, example, until
from tests.nodes import bring_node

QUESTION = "What is the capital of France?"


#: The end of a Workspace's way, as its trace has it.
STAGES = ("pod start", "server start", "load", "tokenizer", "warm", "WorkspaceReady", "POST /chat", "first token")


def traced(user: User, name: str) -> list[str]:
    """The lines of its trace, once the server has told of its first answer; all are of one trace."""
    words = ("trace", name, "--dir", str(user.platform.directory))
    lines = user.kaito(*words).stdout.splitlines()
    if not any("first token" in line for line in lines):
        return []
    otlp = json.loads(user.kaito(*words, "-o", "json").stdout)
    scopes = [scope for resource in otlp["resourceSpans"] for scope in resource["scopeSpans"]]
    assert {span["traceId"] for scope in scopes for span in scope["spans"]} == {lines[0].removeprefix("trace ")}
    return lines


def test_from_a_workspace_to_an_answer_and_back_to_nothing(user: User, events: EventLog) -> None:
    manifest = str(CONFIG / "examples" / "smollm2.yaml")
    planned = user.kaito("plan", "-f", manifest)
    assert "fits     yes" in planned.stdout
    assert "creates  1 x Machine: Standard_D4s_v5" in planned.stdout
    name = user.apply("smollm2")
    user.wait_for(name, "WorkspaceReady")
    planned = user.kaito("plan", "-f", manifest)
    assert "creates  nothing: all of it is there" in planned.stdout
    assert user.kaito("why", name).stdout.startswith("workspace default/workspace-smollm2 is ready\n")
    table = user.kubectl("get", "workspace").stdout.splitlines()
    assert table[0].split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
    assert table[1].split()[:5] == ["workspace-smollm2", "Standard_D4s_v5", "True", "True", "True"]

    stages = ("get", "workspace", name, "-o", "jsonpath={.status.startup.stages[*].name}")
    until(lambda: user.kubectl(*stages).stdout == "load tokenizer warm", what="the stages of the server's start")

    answer = user.chat(name, {"prompt": QUESTION})
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]
    messages = {"messages": [{"role": "user", "content": QUESTION}], "generate_kwargs": {"do_sample": False}}
    assert "Paris" in user.chat(name, messages).json()["Result"]

    tree = until(lambda: traced(user, name), what="the first answer in the trace")
    assert tree[0].startswith("trace ")
    for part in (f"workspace default/{name}", "source  add", "reconcile workspace", "apply Machine", "node ws"):
        assert any(part in line for line in tree), part
    found = [place for place, line in enumerate(tree) for part in STAGES if line.split("─ ")[-1].startswith(part)]
    assert len(found) == len(STAGES)
    assert found == sorted(found), "in the order in which it happened"

    refused = user.chat(name, {"question": QUESTION})
    assert refused.status_code == 400
    assert "prompt" in refused.json()["error"]

    told = " ".join(seen.what for seen in events.last(200))
    assert "Workspace default/workspace-smollm2 add" in told
    assert "Node" in told

    assert user.kubectl("delete", "workspace", name, "--timeout=60s").returncode == 0
    until(lambda: not user.left(), what="clean-up")


def test_a_model_this_machine_cannot_have_says_so(user: User) -> None:
    name = user.apply("phi-3-mini")
    user.wait_for(name, "InferenceReady", "False")
    assert user.is_true(name, "ResourceReady")
    (machine,) = user.kube.list(MACHINE).items
    (node,) = user.kube.list(NODE).items
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "1"
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "Standard_NC6s_v3"
    assert machine["status"]["nodeName"] == node["metadata"]["name"]
    service = user.kube.get(KNATIVE_SERVICE, name, "default")
    assert service is not None
    assert service["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    why = user.kaito("why", f"workspace/{name}")
    assert why.returncode == 1
    assert why.stdout.startswith(f"workspace default/{name} cannot go on: ")
    message = user.kubectl("describe", "workspace", name).stdout
    assert "no NVIDIA GPU here" in message
    assert "smollm2-135m-instruct" in message, "what to do"


def test_a_node_that_somebody_brings_is_enough(user: User) -> None:
    bring_node(user.kube, "brought", gpus=0)
    try:
        manifest = example("smollm2")
        manifest["resource"]["instanceType"] = ""
        assert user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest)).returncode == 0
        user.wait_for("workspace-smollm2", "MachineReady")
        why = user.kaito("why", "workspace-smollm2").stdout
        assert "waits: 0 of 1 nodes ready; no provisioner is asked for nodes" in why
        assert user.kubectl("label", "node", "brought", "apps=smollm2").returncode == 0
        user.wait_for("workspace-smollm2", "WorkspaceReady")
        assert user.kube.list(MACHINE).items == ()
        assert "Paris" in user.chat("workspace-smollm2", {"prompt": QUESTION}).json()["Result"]
        user.delete_all(but=("node/brought",))
    finally:
        user.kube.delete(NODE, "brought")


def test_an_unknown_preset_is_refused_with_the_known_ones(user: User) -> None:
    refused = user.kubectl("create", "-f", "-", stdin=UNKNOWN)
    assert refused.returncode == 1
    assert 'there is no preset "phi-33" in the catalogue; it has deepseek-r1' in refused.stderr
    planned = user.kaito("plan", "-f", "-", stdin=UNKNOWN)
    assert planned.returncode == 1
    assert 'there is no preset "phi-33" in the catalogue; it has deepseek-r1' in planned.stdout
    nobody = user.kaito("why", "typo")
    assert nobody.returncode == 1
    assert "there is no Workspace typo in the namespace default" in nobody.stderr


def test_a_manifest_that_cannot_be_is_refused_by_the_api_server(user: User) -> None:
    refused = user.kubectl("create", "-f", "-", stdin=UNKNOWN.replace("preset: {name: phi-33}", ""))
    assert refused.returncode == 1
    assert "give a preset (inference.preset.name) or a pod template" in refused.stderr


def test_the_fast_sweep_lives_only_while_something_is_unsettled(user: User) -> None:
    def sweeps() -> set[str]:
        return {item["metadata"]["name"] for item in user.kube.list(PING_SOURCE).items}

    name = user.apply("smollm2")
    until(lambda: "kaito-workspace-fast" in sweeps(), what="the fast sweep")
    user.wait_for(name, "WorkspaceReady")
    until(lambda: sweeps() == {"kaito-sweep"}, what="quiet")


def test_an_idle_function_is_no_process_and_comes_back_for_an_event(user: User) -> None:
    provisioner = user.kube.get(KNATIVE_SERVICE, "kaito-provisioner", "kaito-system")
    assert provisioner is not None
    annotations = provisioner["spec"]["template"]["metadata"]["annotations"]
    shorter = {**annotations, "autoscaling.knative.dev/window": "6s"}
    body = {"spec": {"template": {"metadata": {"annotations": shorter}}}}
    user.kube.patch(KNATIVE_SERVICE, "kaito-provisioner", "kaito-system", body)

    def running() -> bool:
        pods = user.platform.directory / "pods" / "kaito-system"
        return any(path.name.startswith("kaito-provisioner-00002") for path in pods.glob("*"))

    until(running, what="the new revision")
    until(lambda: not running(), what="zero")
    name = user.apply("phi-3-mini")
    user.wait_for(name, "ResourceReady")
    assert running()


UNKNOWN = """
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata: {name: typo}
resource: {labelSelector: {matchLabels: {apps: typo}}}
inference: {preset: {name: phi-33}}
"""
