"""``kaito``, also as ``kubectl kaito``: its commands, and what it says when it cannot do what it is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import typer

from kaito.cli import completion
from kaito.cli.commands import platform, recordings, workspaces

_PLUGIN: Final = "kubectl-kaito"
#: By what they are about, each with an example.
COMMANDS: Final[Mapping[str, Mapping[Callable[..., None], str]]] = {
    "Workspaces": {
        workspaces.plan: "kaito plan -f config/examples/phi-3-mini.yaml",
        workspaces.why: "kaito why workspace-smollm2",
        workspaces.chat: 'kaito chat workspace-smollm2 "What is the capital of France?"',
        workspaces.presets: "kaito presets phi-3-mini-4k-instruct",
        workspaces.catalogue: "kaito catalogue my-catalogue/ | kubectl apply -f -",
        workspaces.console: "kaito console workspace-smollm2",
    },
    "What happened": {
        recordings.replay: "kaito replay --object default/workspace-smollm2",
        recordings.trace: "kaito trace workspace-smollm2",
    },
    "A platform on this machine": {
        platform.up: "kaito up",
        platform.status: "kaito status -o json",
        platform.down: "kaito down --purge",
        platform.demo: "kaito demo --tuning",
    },
}


def built(*, installs_completion: bool) -> typer.Typer:
    """kubectl completes what follows `kubectl kaito` in a way of its own."""
    app = typer.Typer(
        help="Run AI models on Kubernetes: one Workspace, event-driven controllers on Knative.",
        no_args_is_help=True,
        add_completion=installs_completion,
        pretty_exceptions_enable=False,
    )
    for panel, commands in COMMANDS.items():
        for command, example in commands.items():
            app.command(epilog=f"Example: {example}", rich_help_panel=panel)(command)
    app.add_typer(recordings.events_app, name="events", rich_help_panel="What happened")
    return app


app: Final = built(installs_completion=True)


def main() -> None:
    """Errors that the user can do something about end in a sentence, not a traceback."""
    try:
        if Path(sys.argv[0]).name == _PLUGIN:
            built(installs_completion=False)(prog_name="kubectl kaito")
        else:
            app(prog_name="kaito")
    except Exception as error:
        from kaito.cli import errors

        if not errors.is_explained(error):
            raise
        errors.explain(error)
        sys.exit(1)


def complete_for_kubectl() -> None:
    completion.for_kubectl(typer.main.get_group(built(installs_completion=False)))
