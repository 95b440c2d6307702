"""The command without the rest: what `pip install '.[cli]'` brings is enough for all but `up` and `demo`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kaito.cli import parts
from kaito.cli.main import app
from kaito.cli.parts import NotInstalled
from tests import dockerfile

_ROOT = Path(__file__).parents[4]
#: These are of `up` and `demo`.
_OF_THE_PLATFORM = {"circle", "demonstration", "running", "story"}
_MODULES = sorted(
    f"kaito.cli.{file.stem}" for file in (_ROOT / "kaito" / "cli").glob("[!_]*.py") if file.stem not in _OF_THE_PLATFORM
)


@pytest.mark.parametrize("words", [("--help",), ("plan", "--help"), ("events", "show", "--help")])
def test_a_help_imports_nothing_of_what_commands_do(words: tuple[str, ...]) -> None:
    program = (
        "import contextlib, json, sys; from kaito.cli import main\n"
        f"sys.argv = ['kaito', *{words}]\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    heavy = "console eventing flask functions httpx kubernetes opentelemetry presets pydantic structlog yaml"
    assert not modules & {*heavy.split(), "kaito.api", "kaito.embedded", "kaito.runtime", "kaito.cli.planning"}
    assert "kaito.cli.options" in modules


def test_it_needs_nothing_that_computes() -> None:
    needed = dockerfile.needed("cli")
    assert {"typer", "kubernetes", "httpx"} <= needed
    assert not needed & {"torch", "transformers", "openvino", "openvino-genai", "numpy", "datasets", "azure-identity"}


def test_what_the_commands_import_comes_with_it(tmp_path: Path) -> None:
    program = f"import importlib\nfor name in {_MODULES}: importlib.import_module(name)\nprint('all')"
    done = dockerfile.run_at(_ROOT, "cli", program, tmp_path)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr


def asked(*words: str) -> str:
    """What stands against it."""
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, NotInstalled)
    return str(done.exception)


def test_what_runs_the_platform_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "_PARTS", {"provisioner": "no_such", "serving": "neither_this", "training": "json"})
    for command in (("up", "--dir", str(tmp_path / "here")), ("demo",)):
        said = (
            f"`kaito {command[0]}` runs the whole platform here, and the extras provisioner, serving are not installed"
        )
        assert asked(*command).startswith(said)
        assert "run `make setup` there" in asked(*command)
    assert not (tmp_path / "here").exists()


def test_so_it_does_where_there_is_no_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parts, "_PARTS", {})
    monkeypatch.setattr(parts, "CONFIG", tmp_path / "none")
    assert "its manifests (config/) are not installed: clone the project" in asked("demo")
