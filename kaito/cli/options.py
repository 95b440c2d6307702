"""What several commands are asked by. Light, as all that a help or a completion needs: see kaito/cli/commands."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from kaito.cli import completion

DEFAULT_DIRECTORY: Final = Path(".kaito")
Directory = Annotated[Path, typer.Option("--dir", help="Where the platform keeps its state, logs and kubeconfig.")]
#: How kubectl's users write it.
_KINDS: Final = frozenset(
    ("workspace", "workspaces", "wk", "wks", "workspace.kaito.sh", "workspaces.kaito.sh")  # as the CRD has them
)


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


def moment(text: str) -> datetime:
    """A time as RFC 3339 has it, in UTC where it does not say. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Format = Annotated[Output, typer.Option("--output", "-o", help="For a person, or for a program.")]
Kubeconfig = Annotated[
    Path | None, typer.Option(envvar="KUBECONFIG", help="Of the cluster to ask; left out, none is asked.")
]
Cluster = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        envvar="KUBECONFIG",
        help="Of the cluster to ask; left out, the platform in --dir where one runs, else whom kubectl asks.",
    ),
]
#: What arguments are is in the docstrings: this release of typer loses their help, where click is as new as here.
WorkspaceName = Annotated[
    str, typer.Argument(metavar="WORKSPACE", autocompletion=completion.workspaces, show_default=False)
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", help="Of the Workspace; left out, the kubeconfig's, or default.")
]
Recordings = Annotated[
    list[str] | None,
    typer.Option(
        "--recording", "-r", help="A file, a directory, or a recorder's URL; left out, that of the platform in --dir."
    ),
]
OfObject = Annotated[str, typer.Option("--object", help="Only of this, as KIND/NAMESPACE/NAME or an end of it.")]
OfFunction = Annotated[str, typer.Option("--function", help="Only of workspace, provisioner or tuning.")]
Since = Annotated[datetime | None, typer.Option("--since", parser=moment, metavar="TIME", help="As RFC 3339 has it.")]
Until = Annotated[datetime | None, typer.Option("--until", parser=moment, metavar="TIME", help="As RFC 3339 has it.")]


def named(workspace: str, namespace: str) -> tuple[str, str]:
    """The namespace, empty where none is said, and the name of a Workspace, in whichever form it was given."""
    parts = workspace.split("/")
    if len(parts) > 1 and parts[0].lower() in _KINDS:
        parts = parts[1:]
    if not all(parts) or len(parts) > 2:
        raise typer.BadParameter(f"{workspace!r} names no Workspace: give NAME, NAMESPACE/NAME or workspace/NAME")
    said = parts[0] if len(parts) == 2 else namespace
    if namespace not in ("", said):
        raise typer.BadParameter(
            f"{workspace} is in the namespace {said}, and -n says {namespace}: leave one of them out"
        )
    return said, parts[-1]
