"""What a shell offers where a name is to be typed: quick, and silent where nothing can be known."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Final

import typer
from click.shell_completion import ShellComplete

#: Whoever has pressed Tab waits.
_SECONDS: Final = 2.0
#: Whether files may be offered too, as kubectl is told: cobra's ShellCompDirective.
_FILES, _NO_FILES = 0, 4


def workspaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Those of the cluster that the command would ask."""
    return _offered(lambda: _workspaces(ctx, incomplete), incomplete)


def presets(incomplete: str) -> list[str]:
    return _offered(_presets, incomplete)


def for_kubectl(command: typer.core.TyperGroup) -> None:
    """The program kubectl_complete-kaito, which kubectl starts with the words after `kubectl kaito`."""
    *words, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(command, {}, "kubectl kaito", "").get_completions(words, incomplete)
    for item in found:
        print(f"{item.value}\t{item.help}" if item.help else item.value)
    print(f":{_NO_FILES if found else _FILES}")


def _offered(names: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    found = list[str]()

    def look() -> None:
        with contextlib.suppress(Exception):
            found.extend(sorted(name for name in names() if name.startswith(incomplete)))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return list(found)


def _workspaces(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    from kaito.api.resources import WORKSPACE
    from kaito.cli.clusters import cluster
    from kaito.cli.options import DEFAULT_DIRECTORY

    asked = cluster(ctx.params.get("kubeconfig"), ctx.params.get("directory") or DEFAULT_DIRECTORY)
    before, slash, _ = incomplete.rpartition("/")
    namespace = ctx.params.get("namespace") or asked.namespace
    if slash and before != "workspace":
        namespace = before
    return [f"{before}{slash}{it['metadata']['name']}" for it in asked.kube.list(WORKSPACE, namespace).items]


def _presets() -> Iterable[str]:
    from presets import installed

    return installed(os.environ).names
