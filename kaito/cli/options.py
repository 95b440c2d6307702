"""What several commands are asked by."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_DIRECTORY: Final = Path(".kaito")
Directory = Annotated[Path, typer.Option("--dir", help="Where the platform keeps its state, logs and kubeconfig.")]


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


Format = Annotated[Output, typer.Option("--output", "-o", help="For a person, or for a program.")]
Kubeconfig = Annotated[
    Path | None, typer.Option(envvar="KUBECONFIG", help="Of the cluster to ask; left out, none is asked.")
]
