"""``kaito plan`` without a cluster, and how both commands put what they know."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from functions.workspace.rehearsal import Explanation
from kaito.api.meta import Condition
from kaito.cli.main import app
from kaito.cli.planning import NoWorkspace, why_json, why_text
from kaito.embedded.manifests import CONFIG

EXAMPLES = CONFIG / "examples"
PHI = (EXAMPLES / "phi-3-mini.yaml").read_text()


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KAITO_CATALOGUE", "KAITO_CLAIM_KIND", "KAITO_SERVING_IMAGE"):
        monkeypatch.delenv(name, raising=False)


def plan(text: str, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["plan", "-f", "-", *words], input=text)
    return done.exit_code, done.stdout


def test_what_fits_is_shown_with_all_that_would_be_created() -> None:
    assert plan(PHI) == (
        0,
        "workspace default/workspace-phi-3-mini\n"
        "  model    phi-3-mini-4k-instruct needs 1 GPU, 9 GiB of GPU memory\n"
        "  nodes    1 x Standard_NC6s_v3: 1 GPU, 16 GiB of GPU memory, NVIDIA V100\n"
        "  fits     yes\n"
        "  creates  1 x Machine: Standard_NC6s_v3, 50Gi of disk\n"
        "  creates  Knative Service workspace-phi-3-mini: min-scale 1, 1 GPU\n"
        "           image kaito/serving:0.1.0\n"
        "           image mcr.microsoft.com/aks/kaito/kaito-phi-3-mini-4k-instruct:0.1.0\n",
    )


def test_several_nodes_together_are_shown_as_such() -> None:
    code, text = plan(PHI.replace("resource:", "resource:\n  count: 2"))
    assert code == 0
    assert (
        "  creates  2 x Machine: Standard_NC6s_v3, 50Gi of disk\n"
        "  creates  StatefulSet workspace-phi-3-mini: 2 pods, together one model, 1 GPU each\n"
        "  creates  Service workspace-phi-3-mini-headless: headless, port 29500\n"
        "  creates  Service workspace-phi-3-mini: ClusterIP, port 80\n"
    ) in text


def test_settings_are_those_of_the_file_or_taken_to_be_there() -> None:
    asking = PHI.replace("inference:", "inference:\n  config: mine")
    assert plan(asking)[0] == 0
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine}\ndata: {inference_config.yaml: '- no'}\n"
    code, text = plan(f"{asking}\n---\n{config}")
    assert code == 1
    assert "ConfigInvalid: inference_config.yaml in the ConfigMap mine holds no settings" in text


def test_what_does_not_fit_says_what_would() -> None:
    code, text = plan(PHI.replace("phi-3-mini-4k-instruct", "falcon-40b"))
    assert code == 1
    assert "model    falcon-40b needs 2 GPUs, 90 GiB of GPU memory" in text
    assert "fits     no: InsufficientGPUs: falcon-40b needs 2 GPUs, and 1 x Standard_NC6s_v3 has 1" in text
    assert "Standard_NC48ads_A100_v4 would do" in text
    assert "creates" not in text


def test_every_workspace_of_a_file_is_planned_and_one_that_does_not_fit_is_enough_for_a_failure() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: other}\n"
    code, text = plan("---\n".join((PHI, service, PHI.replace("phi-3-mini-4k-instruct", "nope"))), "-o", "json")
    first, second = json.loads(text)
    assert code == 1
    assert (first["fits"], second["fits"]) == (True, False)
    assert second["refusal"].startswith("UnknownPreset: there is no preset 'nope'")
    assert first["model"] == {
        "name": "phi-3-mini-4k-instruct",
        "gpus": 1,
        "gpu_memory_gib": 9,
        "gpu_memory_each_gib": 0,
    }
    assert first["instanceType"]["memory_gib"] == 16
    assert [made["kind"] for made in first["creates"]] == ["Machine", "Service"]
    assert first["images"][0] == "kaito/serving:0.1.0"


def test_a_field_that_cannot_be_is_named() -> None:
    code, text = plan(PHI.replace("instanceType: Standard_NC6s_v3", "count: many"))
    assert code == 1
    assert "fits     no: resource.count: Input should be a valid integer" in text


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "is not YAML"), ("kind: Pod", "there is no Workspace"), ("", "there is no Workspace")]
)
def test_what_is_no_workspace_is_said(text: str, said: str) -> None:
    done = CliRunner().invoke(app, ["plan", "-f", "-"], input=text)
    assert isinstance(done.exception, NoWorkspace)
    assert said in str(done.exception)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plan", "-f", str(tmp_path / "none.yaml")])
    assert isinstance(done.exception, NoWorkspace)
    assert "none.yaml cannot be read: No such file" in str(done.exception)


NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WAITS = Condition(
    type="MachineReady",
    status="Unknown",
    reason="Provisioning",
    message="no provisioner has taken up ws1 yet",
    last_transition_time="2026-11-23T11:50:00Z",
)
SERVES = WAITS.model_copy(
    update={"type": "InferenceReady", "status": "True", "reason": "Serving", "message": "at /chat"}
)


def test_why_says_what_is_awaited_since_when_and_where_to_look() -> None:
    text = why_text("default/phi", Explanation((WAITS,), WAITS, ("kubectl describe machine",), behind=True), NOW)
    assert text.splitlines() == [
        "workspace default/phi waits: no provisioner has taken up ws1 yet",
        "",
        "  Unknown MachineReady     10m   Provisioning: no provisioner has taken up ws1 yet",
        "",
        "Its status does not say so yet: the function is about to write it, or hears nothing. See",
        "  kubectl get apiserversource,trigger,ksvc -n kaito-system",
        "",
        "To see more:",
        "  kubectl describe machine",
    ]


def test_why_of_what_is_ready_is_short() -> None:
    explanation = Explanation((SERVES,), None, (), behind=False)
    assert why_text("default/phi", explanation, NOW).startswith("workspace default/phi is ready\n\n  True ")
    assert why_json("default/phi", explanation)["ready"] is True


def test_why_for_a_program() -> None:
    found = why_json("default/phi", Explanation((WAITS,), WAITS, ("kubectl describe machine",), behind=False))
    assert (found["ready"], found["statusBehind"], found["look"]) == (False, False, ["kubectl describe machine"])
    assert found["obstacle"]["lastTransitionTime"] == "2026-11-23T11:50:00Z"
    assert found["conditions"] == [found["obstacle"]]
