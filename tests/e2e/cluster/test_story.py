"""The main job on real Knative, in the order in which a user meets it: each test goes on where the last one ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from kaito.api.resources import JOB, KNATIVE_SERVICE, MACHINE, PING_SOURCE, STATEFUL_SET, WORKSPACE
from kaito.api.trust import BUNDLE_FILE
from kaito.cli import circle
from kaito.embedded.cache import cache_dir
from kaito.embedded.manifests import CONFIG
from kaito.embedded.models import SMOLLM2, ModelStore
from presets.catalogue import FOLDER, MODELS_FILE, SKUS_FILE
from presets.manifest import text as catalogue
from tests.cluster import archive
from tests.cluster.cluster import Cluster
from tests.cluster.layout import MACHINE_ADDRESS, NODE_NAME
from tests.e2e.cluster.conftest import Pods, User, installed
from tests.e2e.conftest import until
from tests.images import digest
from tests.questions import streamed
from tests.registry import INSTALLED, Registry, running
from tests.unit.serving.tiny import make_adapter

# Not the fixtures' time: the first cluster of a machine is compiled.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600, func_only=True)]

NAME = "workspace-smollm2"
QUESTION = {"prompt": "What is the capital of France?"}
FUNCTIONS = ("kaito-workspace-", "kaito-provisioner-", "kaito-tuning-")
#: Stable window, grace period and queue-proxy's 30 s of draining; a fast sweep may come in between.
TO_ZERO_SECONDS = 150


def functions(pods: Pods) -> list[str]:
    return [name for prefix in FUNCTIONS for name in pods.running(prefix)]


def cold_starts(pods: Pods) -> dict[str, float]:
    return {name: seconds for prefix in FUNCTIONS for name, seconds in pods.cold_starts(prefix).items()}


def test_up_again_keeps_what_runs(cluster: Cluster) -> None:
    before = cluster.node_pid
    cluster.up()
    assert cluster.node_pid == before
    assert cluster.waiting_for() == []


def test_a_workspace_applied_in_the_same_breath_as_kaito_becomes_ready(cluster: Cluster) -> None:
    """Its events may come before anybody listens."""
    hasty = User(cluster)
    hasty.install()
    hasty.kubectl("apply", "-f", str(CONFIG / "examples" / "smollm2.yaml"))
    until(lambda: hasty.is_true(NAME, "WorkspaceReady"), 90, "WorkspaceReady")


def test_functions_are_no_pods_while_there_is_nothing_to_do(user: User, pods: Pods) -> None:
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")
    print(user.kubectl("get", "ksvc,workspace,machine,pods", "-A"))


def test_from_a_workspace_to_an_answer(user: User, pods: Pods, stages: dict[str, float]) -> None:
    before = cold_starts(pods)  # of the installation, when everything started at once
    began = time.monotonic()
    user.kubectl("apply", "-f", str(CONFIG / "examples" / "smollm2.yaml"))
    until(lambda: "kaito.sh/claim" in user.node()["metadata"]["labels"], 60, "a node with the claim's labels")
    node = time.monotonic()
    until(lambda: user.is_true(NAME, "WorkspaceReady"), 120, "WorkspaceReady")
    ready = time.monotonic()
    answer = user.chat(NAME, QUESTION)
    answered = time.monotonic()
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]
    stages["apply_to_node"] = node - began
    stages["node_to_ready"] = ready - node
    stages["ready_to_answer"] = answered - ready
    from_zero = {name: seconds for name, seconds in cold_starts(pods).items() if name not in before}
    assert {name.rpartition("-deployment")[0][:-6] + "-" for name in from_zero} == set(FUNCTIONS)
    stages["function_cold_start"] = max(from_zero.values())

    table = user.kubectl("get", "workspace").splitlines()
    assert table[0].split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
    assert table[1].split()[:5] == [NAME, "Standard_D4s_v5", "True", "True", "True"]
    told = ("get", "workspace", NAME, "-o", "jsonpath={.status.startup.stages[*].name}")
    until(lambda: user.kubectl(*told) == "load tokenizer warm", 60, "the stages of the server's start")
    print(user.kubectl("get", "ksvc,workspace,machine,pods", "-A"))


def test_a_bad_request_says_what_to_do(user: User) -> None:
    refused = user.chat(NAME, {"question": "?"})
    assert refused.status_code == 400
    assert "prompt" in refused.json()["error"]


def test_what_the_functions_did_is_exported_and_decided_again(user: User, tmp_path: Path) -> None:
    with user.forwarded("kaito-recorder") as url:
        listed = user.kaito("events", "-r", url, "--object", f"default/{NAME}")
        user.kaito("events", "export", "-r", url, "-o", str(tmp_path / "recording.ndjson"))
        tree = user.kaito("trace", NAME, "-r", url)
    assert f"add Workspace/default/{NAME}" in listed
    for span in ("broker  to kaito-workspace", "reconcile provisioner", f"node {NODE_NAME}", "pod start", "warm"):
        assert span in tree
    decided = user.kaito("replay", str(tmp_path / "recording.ndjson")).splitlines()[-1]
    assert re.fullmatch(r"[1-9]\d* decisions, the same today", decided)


def test_the_console_shows_it_and_asks_the_model(user: User) -> None:
    """As docs/console.md says."""
    folder = str(Path(__file__).parent / "console")
    user.kubectl("apply", "--server-side", "--field-manager=kaito", "-k", folder)
    until(lambda: installed(user, "kaito-console"), 90, "the console")
    with user.forwarded("kaito-console") as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        moment = until(lambda: (it := client.get(f"/api/workspaces/default/{NAME}")).status_code == 200 and it.json())
        assert [it["name"] for it in moment["timeline"]] == ["nodes", "pod", "load", "tokenizer", "warm", "ready"]
        of = {"workspace": f"default/{NAME}"}
        until(lambda: client.get("/api/rows", params=of).json()["total"] > 1, 60, "what the recorder has")
        asked = {"messages": [{"role": "user", "content": QUESTION["prompt"]}]}
        answer = client.post(f"/api/workspaces/default/{NAME}/chat", json=asked)
    assert "Paris" in streamed(answer.text)
    user.kubectl("delete", "-k", folder)


@pytest.fixture(scope="module")
def adapter(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of an adapter as a tuning pushes it: what PEFT saved, in ``data``. Its numbers are random ones."""
    reference, folder = "dev.local/kaito/adapter-noise:1", tmp_path_factory.mktemp("adapter")
    weights = ModelStore(cache_dir()).resolve(SMOLLM2.image)
    assert weights is not None, "the cluster has it"
    with (folder / "image.tar").open("wb") as image:
        archive.write(image, reference, {"data": make_adapter(weights / "weights", folder / "data")})
    cluster.containerd.ctr("images", "import", image.name)
    yield reference
    cluster.containerd.ctr("images", "rm", reference)


def test_an_adapter_changes_what_the_model_says_by_its_strength(user: User, pods: Pods, adapter: str) -> None:
    def says(strength: str | None) -> str:
        """Once there are only pods of that strength."""
        revision = _ready_revision(user)
        chosen = [{"source": {"name": "noise", "image": adapter}, "strength": strength}] if strength else []
        patch = json.dumps({"inference": {"adapters": chosen}})
        user.kubectl("patch", "workspace", NAME, "--type=merge", "-p", patch)
        until(lambda: _ready_revision(user) != revision, 120, "a new revision")
        until(lambda: len(pods.running(f"{NAME}-")) == 1, 120, "no pod of the old one")
        answer = user.chat(NAME, QUESTION)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["Result"])

    assert "Paris" not in says("1.0")
    assert "Paris" in says("0.0"), "nothing of it is left at no strength"
    assert "Paris" in says(None)


def test_settled_functions_go_to_zero_and_an_event_brings_one_back(user: User, pods: Pods) -> None:
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")
    assert {item["metadata"]["name"] for item in user.kube.list(PING_SOURCE).items} == {"kaito-sweep"}
    assert user.is_true(NAME, "WorkspaceReady")
    user.kubectl("annotate", "workspace", NAME, "kaito.sh/scale-to-zero=true")
    until(lambda: _min_scale(user) == "0", 60, "the Service follows the annotation")


def _min_scale(user: User) -> str:
    service = user.kube.get(KNATIVE_SERVICE, NAME, "default")
    assert service is not None
    annotations: dict[str, str] = service["spec"]["template"]["metadata"]["annotations"]
    return annotations["autoscaling.knative.dev/min-scale"]


def test_a_model_at_zero_comes_back_for_a_request(user: User, pods: Pods, stages: dict[str, float]) -> None:
    # None on its way out either: a request that meets one waits until it is gone.
    until(lambda: not pods.present(f"{NAME}-"), TO_ZERO_SECONDS, "no pod of the model")
    assert user.is_true(NAME, "WorkspaceReady"), "at zero it is ready still"
    began = time.monotonic()
    answer = user.chat(NAME, QUESTION)
    stages["answer_from_zero"] = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]


def test_at_zero_it_gives_its_node_back_until_a_request_comes(user: User, pods: Pods, stages: dict[str, float]) -> None:
    user.kubectl("annotate", "workspace", NAME, "kaito.sh/scale-to-zero-node-retention-period=5s")
    until(lambda: user.says(NAME)["ResourceReady"] == ("True", "Released"), TO_ZERO_SECONDS, "its node's release")
    until(lambda: "apps" not in user.node()["metadata"]["labels"], 60, "the node for others")
    assert not user.kube.list(MACHINE).items
    assert user.is_true(NAME, "WorkspaceReady")
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")

    began = time.monotonic()
    answer = user.chat(NAME, QUESTION)
    stages["answer_from_no_node"] = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]
    until(lambda: user.says(NAME)["ResourceReady"] == ("True", "NodesReady"), 60, "what the status says of it")
    user.kubectl("annotate", "workspace", NAME, "kaito.sh/scale-to-zero-node-retention-period-")


@pytest.fixture(scope="module")
def upgrade(cluster: Cluster) -> Iterator[str]:
    """The serving image by another name, which is taken back: old images are gigabytes."""
    ctr, prefix = cluster.containerd.ctr, "dev.local/kaito/serving:upgrade-"
    tag = f"{prefix}{time.time_ns()}"
    ctr("images", "tag", "dev.local/kaito/serving:0.1.0", tag)
    yield tag
    ctr("images", "rm", *(name for name in ctr("images", "ls", "-q").split() if name.startswith(prefix)))


def test_a_new_serving_image_replaces_the_old_one_under_requests(user: User, pods: Pods, upgrade: str) -> None:
    """As by an upgrade of KAITO: the new revision gets requests when it is ready, and none is lost on the way."""
    revision = _ready_revision(user)
    with answers(user) as statuses:
        user.set_env("kaito-workspace", "KAITO_SERVING_IMAGE", upgrade)
        until(lambda: _ready_revision(user) != revision, 180, "a new revision")
        until(lambda: all(upgrade in pods.images(name) for name in pods.running(f"{NAME}-")), 180, "only new pods")
    assert len(statuses) > 2
    assert set(statuses) == {200}


def test_what_was_lost_the_sweep_finds(user: User, pods: Pods) -> None:
    """An event that never came: the source is away while a label of the node is lost."""
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")
    (claim,) = user.kube.list(MACHINE).items
    user.kubectl("delete", "apiserversource", "kaito", "-n", "kaito-system")
    until(lambda: not pods.running("apiserversource-"), 90, "no adapter")
    user.kubectl("label", "node", NODE_NAME, "apps-")
    every_few_seconds = '{"spec": {"schedule": "*/5 * * * * *"}}'
    user.kubectl("patch", "pingsource", "kaito-sweep", "-n", "kaito-system", "--type=merge", "-p", every_few_seconds)
    until(lambda: user.node()["metadata"]["labels"].get("apps") == "smollm2", 90, "the label")
    assert user.node()["metadata"]["labels"]["kaito.sh/claim"] == claim["metadata"]["name"]
    user.install("--force-conflicts")
    until(lambda: installed(user), 90, "the source again")


def test_our_own_source_tells_what_knatives_told(user: User, pods: Pods) -> None:
    """As docs/source.md says."""
    user.kubectl(
        "apply",
        "--server-side",
        "--field-manager=kaito",
        "--force-conflicts",
        "-k",
        str(Path(__file__).parent / "source"),
    )
    user.kubectl("delete", "apiserversource", "kaito", "-n", "kaito-system")
    user.kubectl("rollout", "status", "deployment", "kaito-source", "-n", "kaito-system", "--timeout=90s")
    until(lambda: not pods.running("apiserversource-"), 90, "no adapter")
    user.kubectl("label", "node", NODE_NAME, "apps-")
    until(lambda: user.node()["metadata"]["labels"].get("apps") == "smollm2", 90, "the label")
    user.install("--force-conflicts")
    user.kubectl("delete", "deployment", "kaito-source", "-n", "kaito-system")
    until(lambda: installed(user), 90, "Knative's source again")


def test_a_deleted_workspace_leaves_nothing(user: User, pods: Pods) -> None:
    user.kubectl("delete", "workspace", NAME, "--timeout=90s")
    until(lambda: not user.kubectl("get", "workspace,machine,ksvc", "-n", "default", "-o", "name"), 60, "nothing")
    assert not {"kaito.sh/claim", "kaito.sh/workspace", "apps"} & user.node()["metadata"]["labels"].keys()
    until(lambda: not pods.running(f"{NAME}-"), 90, "no pod of the model")
    assert user.chat(NAME, QUESTION).status_code == 404
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")


def test_one_model_in_several_processes_is_a_stateful_set(user: User, pods: Pods, tmp_path: Path) -> None:
    """Of a catalogue of one's own, in which the small model is such a one; of processes it has one a node."""
    for name in (MODELS_FILE, SKUS_FILE):
        here = "- name: smollm2-135m-instruct"
        text = (FOLDER / name).read_text().replace(here, here.replace("-", "- distributed: true\n ", 1))
        (tmp_path / name).write_text(text)
    # They read it at their start: one on its way out would answer by the old one.
    until(lambda: not any(map(pods.present, FUNCTIONS)), TO_ZERO_SECONDS, "no function, also not on its way out")
    user.kubectl("apply", "--server-side", "--field-manager=kaito", "-f", "-", stdin=catalogue(tmp_path))
    user.kubectl("apply", "-f", str(CONFIG / "examples" / "smollm2.yaml"))
    until(lambda: user.is_true(NAME, "WorkspaceReady"), 120, "WorkspaceReady")
    (stateful_set,) = user.kube.list(STATEFUL_SET, "default").items
    assert stateful_set["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "torch.distributed.run"
    chat = f"/api/v1/namespaces/default/services/{NAME}:80/proxy/chat"
    assert "Paris" in user.kubectl("create", "--raw", chat, "-f", "-", stdin=json.dumps(QUESTION))

    user.kubectl("delete", "workspace", NAME, "--timeout=90s")
    until(
        lambda: not user.kubectl("get", "sts,svc,machine", "-l", f"kaito.sh/workspace={NAME}", "-o", "name"), 60, "end"
    )
    until(lambda: not pods.running(f"{NAME}-"), 90, "no pod of the model")
    user.install("--force-conflicts")
    until(lambda: not functions(pods), TO_ZERO_SECONDS, "zero")


@pytest.fixture(scope="module")
def its(cluster: Cluster, user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that the node and KAITO trust, with a few chats in it, and the namespace's Secret for it."""
    folder = tmp_path_factory.mktemp("registry")
    with running(folder, MACHINE_ADDRESS) as its:
        (folder / "config.json").write_text(its.secret)
        words = [str(CONFIG / "examples" / "tuning" / "data"), f"{its.host}/chats:1"]
        subprocess.run(
            [sys.executable, "-m", "oci.push", *words, f"--credentials={folder / 'config.json'}"],
            env={**os.environ, "REQUESTS_CA_BUNDLE": str(its.ca)},
            check=True,
            timeout=60,
        )
        cluster.trust(its.host, its.ca)
        trusted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trusted"}}
        bundle = {**trusted, "data": {BUNDLE_FILE: its.ca.read_text()}}
        user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([bundle, its.secret_object("registry")]))
        user.set_env("kaito-tuning", "KAITO_TRUST_BUNDLE", "trusted")
        yield its
    user.install("--force-conflicts")


@pytest.mark.skipif(not INSTALLED, reason="no registry is installed: make test-packages")
def test_a_model_is_tuned_pushed_and_served(user: User, its: Registry, stages: dict[str, float]) -> None:
    text = (CONFIG / "examples" / "tuning" / "workspaces.yaml").read_text().replace("REGISTRY", its.host)
    tuning, config, tuned = yaml.safe_load_all(text)
    name = tuning["metadata"]["name"]
    began = time.monotonic()
    user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([config, tuning]))
    until(lambda: user.is_true(name, "WorkspaceReady"), 400, "WorkspaceReady")
    stages["tuned"] = time.monotonic() - began
    status = (user.kube.get(WORKSPACE, name, "default") or {})["status"]
    assert status["state"] == "Succeeded"
    assert status["tuning"]["step"] == status["tuning"]["steps"] == 20
    assert float(status["tuning"]["loss"]) < 1
    assert status["tuning"]["digest"] == digest(its.manifest("smollm2-kaito", "1"))
    assert "training.done" in user.kubectl("logs", f"job/{name}", "-c", "train")
    print(user.kubectl("get", "workspace,job,pods"))
    user.kubectl("delete", "workspace", name)
    until(lambda: not user.kube.list(JOB, "default").items, 60, "no Job")

    name = tuned["metadata"]["name"]
    user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(tuned))
    until(lambda: user.is_true(name, "WorkspaceReady"), 120, "WorkspaceReady")
    answer = user.chat(name, {"prompt": circle.QUESTION})
    assert answer.status_code == 200, answer.text
    assert circle.LEARNED in answer.json()["Result"]
    user.kubectl("delete", "workspace", name, "--timeout=90s")


def test_the_functions_images_are_small(user: User) -> None:
    sizes = {name: image["sizeBytes"] for image in user.node()["status"]["images"] for name in image["names"] or ()}
    print({name: size for name, size in sizes.items() if "/kaito/" in name})
    for function in ("workspace", "provisioner", "tuning"):
        assert sizes[f"dev.local/kaito/{function}:0.1.0"] <= 250_000_000


def test_functions_have_no_right_they_do_not_need(user: User) -> None:
    # Of pods, why those of a StatefulSet are not ready, and how far a Job's are; of ConfigMaps, those that a Workspace
    # names, and the training config that it has where it names none.
    few = {
        "kaito-workspace": {"pods": "[list]", "configmaps": "[get]"},
        "kaito-provisioner": {},
        "kaito-tuning": {"pods": "[list]", "configmaps": "[get create patch]"},
    }
    for function, allowed in few.items():
        who = f"--as=system:serviceaccount:kaito-system:{function}"
        rows = user.kubectl("auth", "can-i", "--list", who).splitlines()
        rights = {row.split()[0]: row[row.rindex("[") :] for row in rows if "[" in row}
        assert not {"*.*", "secrets"} & rights.keys()
        assert {name: rights.get(name) for name in ("pods", "configmaps") if name in rights} == allowed


def _ready_revision(user: User) -> str:
    service = user.kube.get(KNATIVE_SERVICE, NAME, "default")
    assert service is not None
    revision: str = service["status"]["latestReadyRevisionName"]
    return revision


@contextlib.contextmanager
def answers(user: User) -> Iterator[list[int]]:
    """The status codes of questions that are asked, one after the other, for as long as the block lasts."""
    statuses: list[int] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            statuses.append(user.chat(NAME, QUESTION).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield statuses
    finally:
        stopping.set()
        asking.join()
