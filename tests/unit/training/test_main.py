"""How the container ends. What it does before: test_train, and tests/integration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.tiny import config
from training import __main__ as program
from training.failure import EXIT_CODE, TuningError
from training.words import last_words


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "words"))
    monkeypatch.setattr(program, "configure", lambda *, quiet: None)
    (tmp_path / "config.yaml").write_text(config())
    return [
        f"--{name}={tmp_path / file}"
        for name, file in (("weights", "none"), ("data", "data"), ("config", "config.yaml"))
    ]


def failing(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def words(folder: Path) -> tuple[str, str, bool]:
    said = json.loads((folder / "words").read_text())
    assert said["stage"] == "train"
    return said["reason"], said["message"], said["permanent"]


def test_what_only_a_person_can_mend_exits_so_and_is_said(tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(flags)
    assert caught.value.code == EXIT_CODE == 65
    assert words(tmp_path) == (
        "ModelInvalid",
        f"there is no model in {tmp_path / 'none'}: it has no config.json.",
        True,
    )


def test_whatever_else_fails_is_raised_and_said(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_tune", failing(RuntimeError("the GPU is off")))
    with pytest.raises(RuntimeError, match="the GPU is off"):
        program.main(flags)
    assert words(tmp_path) == ("TrainingFailed", "RuntimeError: the GPU is off", False)


def test_a_failure_that_follows_another_processs_does_not_hide_it(
    tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last_words("train", "DataInvalid", "row 2 is empty.", permanent=True)
    monkeypatch.setattr(program, "_tune", failing(RuntimeError("the other process is gone")))
    with pytest.raises(RuntimeError, match="gone"):
        program.main(flags)
    assert words(tmp_path) == ("DataInvalid", "row 2 is empty.", True)


@pytest.mark.parametrize(("rank", "quiet"), [("", False), ("0", False), ("1", True)])
def test_the_first_process_alone_tells_how_it_goes(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, rank: str, quiet: bool
) -> None:
    said = []
    monkeypatch.setenv("RANK", rank) if rank else monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setattr(program, "configure", lambda *, quiet: said.append(quiet))
    monkeypatch.setattr(program, "_tune", failing(TuningError("DataInvalid", "no.")))
    with pytest.raises(SystemExit):
        program.main(flags)
    assert said == [quiet]
