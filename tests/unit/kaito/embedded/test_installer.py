from __future__ import annotations

import importlib.util
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from kaito.embedded.installer import NotInstalled, install_command


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_uv_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"
    uv.touch(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert install_command(tmp_path) == [str(uv), "pip", "install", "--python", sys.executable]


def test_then_pip_of_this_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert install_command(tmp_path)[:4] == [sys.executable, "-m", "pip", "install"]


def test_then_a_pip_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(venv, "create", lambda where, with_pip: made.append(where))
    python, *rest = install_command(tmp_path)
    assert python == str(made[0] / "bin" / "python")
    assert rest[:3] == ["-m", "pip", "install"]


def test_where_there_is_none_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(where: Path, with_pip: bool) -> None:
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", refuse)
    with pytest.raises(NotInstalled, match="install uv"):
        install_command(tmp_path)
