"""Which backend a model gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import backends
from serving.backends import choose
from serving.engine import ModelError


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backends, "_has_gpu", lambda: False)
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "openvino_model.xml").touch()
    return tmp_path


def test_a_cpu_takes_what_has_been_exported_and_a_gpu_the_weights(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose("auto", exported, None) == "openvino"
    monkeypatch.setattr(backends, "_has_gpu", lambda: True)
    assert choose("auto", exported, None) == "torch"
    assert choose("openvino", exported, None) == "openvino"


def test_torch_is_for_what_is_not_exported_or_no_other_can_do(exported: Path) -> None:
    assert choose("auto", exported, "adapters of another kind are for torch") == "torch"
    assert choose("auto", exported / "elsewhere", None) == "torch"
    assert choose("torch", exported, None) == "torch"


def test_what_was_asked_for_and_cannot_be_is_refused_with_what_to_do(exported: Path) -> None:
    with pytest.raises(ModelError, match="has no folder openvino: make it with python -m serving"):
        choose("openvino", exported / "elsewhere", None)
    with pytest.raises(ModelError, match="backend openvino: adapters of another kind are for torch"):
        choose("openvino", exported, "adapters of another kind are for torch")
