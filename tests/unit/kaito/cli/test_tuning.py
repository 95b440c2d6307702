"""``kaito plan`` of Workspaces that tune, without a cluster."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from kaito.cli.main import app
from kaito.embedded.manifests import CONFIG

EXAMPLE = (CONFIG / "examples" / "tuning" / "workspaces.yaml").read_text().replace("REGISTRY", "registry.example")
WORKSPACE, SETTINGS, _ = EXAMPLE.split("---\n")


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KAITO_CATALOGUE", "KAITO_CLAIM_KIND", "KAITO_TUNING_TEMPLATES"):
        monkeypatch.delenv(name, raising=False)


def plan(text: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["plan", "-f", "-"], input=text)
    return done.exit_code, done.stdout


def test_the_job_is_shown_with_what_it_does() -> None:
    assert plan(f"{WORKSPACE}---\n{SETTINGS}") == (
        0,
        "workspace default/tuning-smollm2\n"
        "  model    smollm2-135m-instruct needs no GPU\n"
        "  nodes    1 x Standard_D4s_v5: no GPU\n"
        "  fits     yes\n"
        "  creates  1 x Machine: Standard_D4s_v5, 10Gi of disk\n"
        "  creates  Job tuning-smollm2: check → train → push\n"
        "           image kaito/training:0.1.0\n"
        "           image kaito/smollm2-135m-instruct:0.1.0\n"
        "           image registry.example/chats:1\n",
    )


def test_its_config_is_taken_to_be_there_or_made() -> None:
    assert plan(WORKSPACE)[0] == 0
    code, text = plan(WORKSPACE.replace("  config: smollm2-training", "  #"))
    assert code == 0
    assert "creates  ConfigMap qlora-params-template: training_config.yaml, which may be changed" in text


def test_gpus_are_those_of_the_container_that_trains() -> None:
    phi = WORKSPACE.replace("smollm2-135m-instruct", "phi-3-mini-4k-instruct")
    code, text = plan(phi.replace("Standard_D4s_v5", "Standard_NC24ads_A100_v4"))
    assert code == 0
    assert "creates  Job tuning-smollm2: check → train → push, 1 GPU\n" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{WORKSPACE}---\n{SETTINGS.replace('load_in_4bit: true', 'load_in_4bit: false')}", "method qlora needs load"),
        (WORKSPACE.replace("smollm2-135m-instruct", "falcon-7b-instruct"), "falcon-7b-instruct cannot be tuned; these"),
        (WORKSPACE.replace("smollm2-135m-instruct", "phi-4"), "phi-4 needs 1 GPU"),
    ],
)
def test_what_cannot_be_tuned_says_why(text: str, said: str) -> None:
    code, shown = plan(text)
    assert code == 1
    assert "fits     no: " in shown
    assert said in shown
    assert "creates" not in shown
