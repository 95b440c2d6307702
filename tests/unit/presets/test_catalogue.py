"""The catalogue's data, what fits what, and what is said of a catalogue that is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import presets
from presets import CatalogueError, Needs

CATALOGUE = presets.load()
FOLDER = Path(presets.__file__).parent


def test_every_model_is_found_by_all_its_names() -> None:
    assert len(CATALOGUE.names) >= 25
    for name, model in CATALOGUE.models.items():
        assert name in (model.name, *model.aliases)
        assert CATALOGUE.model(name.upper()) is model
    phi = CATALOGUE.model("microsoft/phi-4")
    assert phi is not None
    assert phi.name == "phi-4"


@pytest.mark.parametrize(
    ("name", "gpus", "memory"),
    [
        ("Standard_NC24ads_A100_v4", 1, 80),
        ("standard_nc24ads_a100_v4", 1, 80),
        ("Standard_ND96amsr_A100_v4", 8, 640),  # the reference says 80 in one release
        ("Standard_NC6s_v3", 1, 16),
        ("p4d.24xlarge", 8, 320),
        ("Standard_D4s_v5", 0, 0),
        ("Standard_NX1_v9", 1, None),
    ],
)
def test_instance_types(name: str, gpus: int, memory: float | None) -> None:
    sku = CATALOGUE.sku(name)
    assert sku is not None
    assert (sku.gpus, sku.memory_gib) == (gpus, memory)


def test_an_unknown_instance_type_is_none() -> None:
    assert CATALOGUE.sku("gpu-box") is None


@pytest.mark.parametrize(
    ("model", "sku", "count", "lacking"),
    [
        ("phi-3-mini-4k-instruct", "Standard_NC6s_v3", 1, None),
        ("falcon-40b", "Standard_NC6s_v3", 1, "needs 2 GPUs"),
        ("falcon-40b", "Standard_NC6s_v3", 2, "needs 90 GiB"),
        ("falcon-40b", "Standard_NC48ads_A100_v4", 1, None),
        ("llama-2-70b", "Standard_NC64as_T4_v3", 2, "needs 19 GiB on each GPU"),
        ("smollm2-135m-instruct", "Standard_D4s_v5", 1, None),
        ("phi-4", "Standard_NX1_v9", 1, None),
    ],
)
def test_what_fits(model: str, sku: str, count: int, lacking: str | None) -> None:
    preset, instance_type = CATALOGUE.model(model), CATALOGUE.sku(sku)
    assert preset is not None
    assert instance_type is not None
    found = presets.shortfall(preset.name, preset.inference, instance_type, count)
    assert found == lacking if lacking is None else lacking in (found or "")


@pytest.mark.parametrize("name", ["phi-2", "phi-4", "falcon-40b", "llama-2-70b"])
def test_the_smallest_that_would_do(name: str) -> None:
    model = CATALOGUE.model(name)
    assert model is not None
    for needs in filter(None, (model.inference, model.tuning)):
        smallest = CATALOGUE.smallest(needs, "azure")
        assert smallest is not None
        assert smallest.gpu_model, "an old type that no cloud has any more is no advice"
        assert presets.shortfall(name, needs, smallest, 1) is None
        assert CATALOGUE.fitting(needs, "azure")[0] == smallest


def test_what_fits_on_several_nodes_the_least_first() -> None:
    needs = Needs(gpus=2, gpu_memory_gib=32)
    one, two = (CATALOGUE.fitting(needs, "azure", count) for count in (1, 2))
    assert {it.name for it in one} < {it.name for it in two}
    assert all(presets.shortfall("it", needs, it, 2) is None for it in two)
    assert [it.memory_gib for it in two] == sorted(it.memory_gib or 0 for it in two)
    assert CATALOGUE.providers == ["arc", "aws", "azure"]


def test_nothing_is_large_enough_for_what_is_too_large() -> None:
    assert CATALOGUE.smallest(Needs(gpus=99, gpu_memory_gib=0), "azure") is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of one's own."""
    for name in ("models.yaml", "skus.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


OURS = """
registry: registry.example
models:
- name: our-model
  aliases: [We/Our-Model]
  image: our-model:1
  weights: weights
  disk: 10Gi
  inference: {gpus: 1, gpu_memory_gib: 4}
  readiness_minutes: 5
  torch_dtype: auto
  pipeline: text-generation
"""


def test_an_installation_may_have_its_own(folder: Path) -> None:
    (folder / "models.yaml").write_text(OURS)
    with (folder / "skus.csv").open("a") as skus:
        skus.write("ours,gpu-box,4,96,Our GPU\n")
    catalogue = presets.installed({"KAITO_CATALOGUE": str(folder)})
    model, sku = catalogue.model("we/our-model"), catalogue.sku("GPU-Box")
    assert model is not None
    assert model.image == "registry.example/our-model:1"
    assert sku is not None
    assert (sku.gpus, sku.memory_gib) == (4, 96)
    assert presets.installed({}) == CATALOGUE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("disk: 10Gi", "disk: 10", r"models.yaml, our-model: disk: .*valid string, got 10"),
        ("gpus: 1", "gpus: one", r"our-model: inference.gpus: .* got 'one'"),
        ("pipeline:", "pipelin:", r"our-model: pipeline: Field required.*; pipelin: Extra inputs"),
        ("  image: our-model:1\n", "  image: ''\n", "our-model: a public model needs an image"),
        ("[We/Our-Model]", "[our-model]", "our-model is the name of our-model already"),
        ("- name: our-model\n  aliases: [We/Our-Model]", "- aliases: []", "entry 1: name: Field required"),
        ("models:", "model:", "needs a list under the key 'models'"),
        ("[We/Our-Model]", "[We/Our-Model", "models.yaml is not YAML"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(folder: Path, old: str, new: str, said: str) -> None:
    assert old in OURS
    (folder / "models.yaml").write_text(OURS.replace(old, new))
    with pytest.raises(CatalogueError, match=said):
        presets.load(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ours,gpu-box,many,96,GPU", r"skus.csv, line \d+: gpus: .* got 'many'"),
        ('ours,gpu-box,1,24,"A, B"', "gpu_model: .* got 'A, B'"),
        ("ours,STANDARD_NC6S_V3,1,16,GPU", "STANDARD_NC6S_V3 has a line already"),
        ("ours,gpu-box,1", "memory_gib|gpu_model"),
    ],
)
def test_what_is_wrong_with_an_instance_type_is_said(folder: Path, line: str, said: str) -> None:
    with (folder / "skus.csv").open("a") as skus:
        skus.write(line + "\n")
    with pytest.raises(CatalogueError, match=said):
        presets.load(folder)


def test_the_columns_are_where_admission_looks(folder: Path) -> None:
    (folder / "skus.csv").write_text("name,gpus\ngpu-box,1\n")
    with pytest.raises(CatalogueError, match="line 1: the columns are provider,name,gpus,memory_gib,gpu_model, not"):
        presets.load(folder)


def test_a_file_that_is_not_there_is_said(folder: Path) -> None:
    (folder / "skus.csv").unlink()
    with pytest.raises(CatalogueError, match=re.escape(f"{folder}/skus.csv cannot be read: No such file")):
        presets.load(folder)
