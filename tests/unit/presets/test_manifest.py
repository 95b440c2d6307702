"""The ConfigMap that admission and the functions read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import presets
from presets import CatalogueError
from presets.catalogue import FOLDER
from presets.manifest import config_map, text

FILE = FOLDER.parent / "config" / "admission" / "catalogue.yaml"


def test_what_is_under_config_is_our_catalogue() -> None:
    assert FILE.read_text() == text(), "run kaito catalogue > config/admission/catalogue.yaml"
    assert yaml.safe_load(FILE.read_text()) == config_map()


def test_a_function_that_mounts_it_reads_the_same_catalogue(tmp_path: Path) -> None:
    for name, content in config_map()["data"].items():
        (tmp_path / name).write_text(content)
    assert presets.load(tmp_path) == presets.load()


def test_admission_is_told_what_each_name_needs() -> None:
    lines = config_map()["data"]["needs.csv"].splitlines()
    assert "llama-2-13b,private,2,30,15,,," in lines
    assert "phi-4,public,1,40,0,1,70,70" in lines
    assert "microsoft/phi-4,public,1,40,0,1,70,70" in lines
    assert len(lines) == len(presets.load().models)


def test_a_catalogue_that_is_wrong_is_no_config_map(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"models.yaml cannot be read"):
        config_map(tmp_path)
