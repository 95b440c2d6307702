"""``kaito presets``: what there is, and what it fits on."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from typer.testing import CliRunner

import presets
from kaito.cli.main import app
from kaito.cli.models import fitting
from presets import CatalogueError, Needs

CATALOGUE = presets.load()


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KAITO_CATALOGUE"):
        monkeypatch.delenv(name, raising=False)


def kaito(*words: str) -> Result:
    return CliRunner().invoke(app, ["presets", *words])


def row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
    return [cell.strip() for cell in line.split("   ") if cell.strip()]


def test_a_line_for_each() -> None:
    text = kaito().stdout
    head, *lines = text.splitlines()
    assert head.split("   ")[0] == "NAME"
    assert [line.split()[0] for line in lines] == CATALOGUE.names
    kind, gpus, memory, smallest, also = row(text, "falcon-40b")[1:]
    assert (kind, gpus, memory, also) == ("text-generation", "2", "90 GiB", "tuning")
    assert smallest.endswith(", Standard_NC48ads_A100_v4")
    assert row(text, "llama-2-70b")[-1] == "distributed, private"
    assert "any, GPU or not" in row(text, "smollm2-135m-instruct")


def test_all_of_one_by_any_name_of_it() -> None:
    text = kaito("Microsoft/Phi-3-mini-4k-instruct").stdout
    assert text.startswith("preset phi-3-mini-4k-instruct\n  aliases  microsoft/phi-3-mini-4k-instruct\n")
    assert "\ninference needs 1 GPU, 9 GiB of GPU memory\n" in text
    assert "1 x Standard_NC6s_v3: 1 GPU, 16 GiB of GPU memory, NVIDIA V100\n" in text
    _, tuning = text.split("\ntuning needs ")
    assert tuning.startswith("1 GPU, 72 GiB of GPU memory, 72 GiB on each\n")
    assert "Standard_NC6s_v3" not in tuning
    assert "tuning is not to be had" in kaito("falcon-40b-instruct").stdout
    assert "no GPU: any instance type does" in kaito("smollm2-135m-instruct").stdout


def test_what_is_said_to_fit_is_what_plan_says_too() -> None:
    (found,) = json.loads(kaito("falcon-40b", "-o", "json").stdout)
    needs = CATALOGUE.models["falcon-40b"].inference
    assert found["inference"] == needs.model_dump()
    for offer in found["fits"]["inference"].values():
        assert offer["instanceTypes"]
        for name in offer["instanceTypes"]:
            sku = CATALOGUE.sku(name)
            assert sku is not None
            assert presets.shortfall("it", needs, sku, offer["nodes"]) is None
            assert offer["nodes"] == 1 or presets.shortfall("it", needs, sku, offer["nodes"] - 1)
    assert len(json.loads(kaito("-o", "json").stdout)) == len(CATALOGUE.names)


def test_several_nodes_serve_a_model_and_tune_none() -> None:
    needs = Needs(gpus=12, gpu_memory_gib=600)
    assert fitting("inference", needs, "azure", CATALOGUE)[0] == 2
    assert fitting("tuning", needs, "azure", CATALOGUE) == (0, [])


@pytest.mark.parametrize(("name", "said"), [("falcon-40", "did you mean falcon-40b"), ("x", "`kaito presets` lists")])
def test_a_model_that_is_none_is_said(name: str, said: str) -> None:
    done = kaito(name)
    assert isinstance(done.exception, CatalogueError)
    assert said in str(done.exception)
