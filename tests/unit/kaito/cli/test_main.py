"""What the commands say of directories that hold no platform, or one that is on its way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from kaito.cli import circle, demonstration, story
from kaito.cli.main import app
from kaito.cli.standing import NotAPlatform
from kaito.embedded.lock import FileLock, locked
from kaito.runtime.kube import Kube
from presets import CatalogueError, manifest
from tests.unit.console.world import cluster, workspace

OURS = ("lock", "ports.json")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def said(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("files", [(), ("precious",), ("lock",), ("ports.json", "precious")])
def test_down_leaves_a_directory_that_is_not_a_platforms_alone(tmp_path: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).write_text("1")
    code, told = said("down", "--dir", str(tmp_path))
    assert (code, "There is no platform in" in told) == (0, True)
    assert tree(tmp_path) == set(files)

    done = CliRunner().invoke(app, ["down", "--purge", "--dir", str(tmp_path)])
    assert isinstance(done.exception, NotAPlatform)
    assert "nothing is removed" in str(done.exception)
    assert tree(tmp_path) == set(files)


def test_a_catalogue_is_printed_for_kubectl(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["catalogue"])
    assert done.exit_code == 0
    assert done.stdout == manifest.text()
    wrong = CliRunner().invoke(app, ["catalogue", str(tmp_path)])
    assert isinstance(wrong.exception, CatalogueError)


def test_purging_what_is_not_there_is_done_already(tmp_path: Path) -> None:
    code, told = said("down", "--purge", "--dir", str(tmp_path / "none"))
    assert (code, "There is no platform in" in told) == (0, True)


def test_down_and_purge_of_a_platform_that_has_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in OURS:
        (home / name).write_text("")
    assert said("down", "--dir", str(home)) == (0, "No platform was running.")
    assert said("down", "--purge", "--dir", str(home)) == (0, "No platform was running; its state is gone.")
    assert not home.exists()


@pytest.mark.parametrize("files", [{}, {"kubeconfig": "x"}, {"route-port": "1"}, {"kubeconfig": "x", "route-port": ""}])
def test_status_of_a_platform_that_starts(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    code, text = said("status", "--dir", str(tmp_path))
    lock.release()
    assert (code, "is still starting" in text) == (1, True)


def test_status_for_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(app, ["status", "--dir", str(tmp_path), "-o", "json"])
        return done.exit_code, json.loads(done.stdout)

    code, told = asked()
    assert (code, told["running"], told["workspaces"]) == (1, False, [])
    assert told["trouble"].startswith("No platform runs in")
    (tmp_path / "kubeconfig").write_text("x")
    (tmp_path / "route-port").write_text("8080")
    monkeypatch.setattr(Kube, "from_kubeconfig", lambda path: cluster(workspace(url="http://phi")))
    with locked(tmp_path / "lock", lambda held: pytest.fail(str(held))):
        code, told = asked()
    (found,) = told.pop("workspaces")
    assert (code, told) == (
        0,
        {
            "running": True,
            "pid": os.getpid(),
            "kubeconfig": str(tmp_path / "kubeconfig"),
            "routes": "http://NAME.NAMESPACE.localhost:8080",
        },
    )
    assert (found["namespace"], found["name"], found["url"]) == ("default", "phi", "http://phi")
    assert found["conditions"]["WorkspaceReady"]["status"] == "True"


@pytest.mark.parametrize(("told", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize(("words", "tale"), [([], demonstration.tell), (["--tuning"], circle.tell)])
def test_the_demos_exit_code(
    monkeypatch: pytest.MonkeyPatch, told: bool, code: int, words: list[str], tale: story.Tale
) -> None:
    monkeypatch.setattr(story, "run", lambda console, asked, *, on_azure: told and asked is tale and not on_azure)
    assert said("demo", *words)[0] == code


def test_an_interrupted_demo_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(console: Console, tale: story.Tale, *, on_azure: bool) -> bool:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("SIGTERM did nothing")

    monkeypatch.setattr(story, "run", interrupted)
    assert said("demo") == (130, "The demo was interrupted; nothing of it is left.")


def test_only_the_emulated_azure_can_go_wrong(tmp_path: Path) -> None:
    code, text = said("up", "--faults", "7", "--dir", str(tmp_path / "here"))
    assert code == 2
    assert "--cloud arm" in text
    assert not (tmp_path / "here").exists()
