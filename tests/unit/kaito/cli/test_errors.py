"""What is said where something cannot be done, and what to do next."""

from __future__ import annotations

import sys

import pytest

from eventing.recordings.recording import RecordingError
from kaito.cli import errors
from kaito.cli.main import COMMANDS, main
from kaito.embedded.error import EmbeddedError
from kaito.runtime.kube import Conflict, KubeError
from presets import CatalogueError


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (EmbeddedError("no [red]etcd"), ["error: no [red]etcd"]),
        (CatalogueError("no such preset"), ["error: no such preset"]),
        (RecordingError("no recording"), ["error: no recording"]),
        (Conflict(409, "Conflict", "changed"), ["error: Conflict: changed"]),
        (
            KubeError(0, "NoCluster", "nobody"),
            [
                "error: NoCluster: nobody",
                "  name a cluster that runs, by --kubeconfig or $KUBECONFIG, or start a platform here: kaito up",
            ],
        ),
        (
            KubeError(403, "Forbidden", "you may not"),
            [
                "error: Forbidden: you may not",
                "  ask whoever runs the cluster for the right, or see what you may: kubectl auth can-i --list",
            ],
        ),
    ],
)
def test_what_the_user_can_do_something_about(
    error: Exception, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.is_explained(error)
    errors.explain(error)
    assert capsys.readouterr().err.splitlines() == lines


def test_what_is_ours_is_a_traceback() -> None:
    assert not errors.is_explained(ValueError("a bug"))


@pytest.mark.parametrize(("program", "called"), [("/bin/kaito", "kaito"), ("/bin/kubectl-kaito", "kubectl kaito")])
def test_it_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, called: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert f"Usage: {called} [OPTIONS] COMMAND" in out
    assert ("--install-completion" in out) is (called == "kaito")
    assert all(panel in out for panel in COMMANDS)


def test_an_error_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["kaito", "plan", "-f", "/no/such.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: /no/such.yaml cannot be read: No such file or directory\n"
