"""What shells and kubectl offer."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from typer.testing import CliRunner

from kaito.api.resources import Kind
from kaito.cli import clusters, complete_for_kubectl, completion
from kaito.cli.clusters import Cluster
from kaito.cli.main import app
from kaito.runtime.kube import KubeError, ObjectList
from tests.unit.console.world import workspace


class Kube:
    def list(self, kind: Kind, namespace: str) -> ObjectList:
        names = ("falcon", "phi") if namespace == "default" else (f"of-{namespace}",)
        return ObjectList(tuple(workspace(it) for it in names), "1")


@pytest.fixture
def _cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    kube: Any = Kube()
    monkeypatch.setattr(clusters, "cluster", lambda kubeconfig, directory: Cluster(kube, "default"))


def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """To kubectl; the last is its directive."""
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-kaito", *words])
    complete_for_kubectl()
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("_cluster")
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("why", ""), ["falcon", "phi"]),
        (("chat", "p"), ["phi"]),
        (("trace", "ml/"), ["ml/of-ml"]),
        (("console", "workspace/f"), ["workspace/falcon"]),
        (("why", "-n", "ml", ""), ["of-ml"]),
    ],
)
def test_workspaces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], names: list[str]
) -> None:
    assert offered(monkeypatch, capsys, *words) == [*names, ":4"]


def test_commands_options_and_presets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert [it.split("\t")[0] for it in offered(monkeypatch, capsys, "pl")] == ["plan", ":4"]
    assert [it.split("\t")[0] for it in offered(monkeypatch, capsys, "events", "sh")] == ["show", ":4"]
    assert offered(monkeypatch, capsys, "why", "--out")[0].startswith("--output\tFor a person")
    assert offered(monkeypatch, capsys, "status", "-o", "") == ["text", "json", ":4"]
    assert offered(monkeypatch, capsys, "presets", "falcon-40") == ["falcon-40b", "falcon-40b-instruct", ":4"]
    assert offered(monkeypatch, capsys, "plan", "--file", "") == [":0"]


def test_nothing_is_said_where_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    never = threading.Event()
    for trouble in (KubeError(0, "NoCluster", "nobody"), None):

        def fails(*_: object, trouble: KubeError | None = trouble) -> Cluster:
            if trouble is None:
                never.wait()
            raise trouble or AssertionError

        monkeypatch.setattr(clusters, "cluster", fails)
        monkeypatch.setattr(completion, "_SECONDS", 2 if trouble else 0.01)
        assert offered(monkeypatch, capsys, "why", "") == [":0"]
        assert capsys.readouterr().err == ""
    never.set()


def test_a_shell_asks_in_its_own_way() -> None:
    asked = {"_ROOT_COMPLETE": "complete_bash", "COMP_WORDS": "kaito presets phi-3.5", "COMP_CWORD": "2"}
    done = CliRunner().invoke(app, [], env=asked, prog_name="root")
    assert done.stdout.split() == ["phi-3.5-mini-instruct"]
