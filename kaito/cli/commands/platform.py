"""``kaito up``, ``down``, ``status`` and ``demo``: the platform on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kaito.cli.options import DEFAULT_DIRECTORY, Directory, Format, Output


class Cloud(StrEnum):
    LOCAL = "local"
    ARM = "arm"


CloudName = Annotated[
    Cloud,
    typer.Option("--cloud", help="Where nodes come from: objects made here, or agent pools of an emulated Azure."),
]


def up(
    directory: Directory = DEFAULT_DIRECTORY,
    cloud: CloudName = Cloud.LOCAL,
    faults: Annotated[
        int | None, typer.Option(help="Have the emulated Azure go wrong, at random from this seed.")
    ] = None,
) -> None:
    """Run the embedded platform until Ctrl-C, showing Workspaces and events."""
    if faults is not None and cloud is not Cloud.ARM:
        raise typer.BadParameter("only the emulated Azure goes wrong: --cloud arm", param_hint="--faults")
    from kaito.cli import parts

    parts.check("up")
    from kaito.cli import running

    running.up(directory, on_azure=cloud is Cloud.ARM, faults=faults)


def down(
    directory: Directory = DEFAULT_DIRECTORY,
    purge: Annotated[
        bool, typer.Option("--purge", help="Forget its state too: Workspaces, certificates, logs.")
    ] = False,
) -> None:
    """End the platform that runs in this directory, and whatever a killed one has left."""
    from kaito.cli import standing

    standing.down(directory, purge=purge)


def status(directory: Directory = DEFAULT_DIRECTORY, output: Format = Output.TEXT) -> None:
    """Is the platform up, and how are its Workspaces? Exit code 1 where it is not."""
    from kaito.cli import standing

    raise typer.Exit(0 if standing.status(directory, as_json=output is Output.JSON) else 1)


def demo(
    cloud: CloudName = Cloud.LOCAL,
    tuning: Annotated[bool, typer.Option("--tuning", help="Tune a model and serve what comes of it.")] = False,
) -> None:
    """The whole story in one go: nodes, a model that answers, a model this machine cannot have, and clean-up; or,
    with --tuning, a model that is tuned, and answers otherwise."""
    from kaito.cli import parts

    parts.check("demo")
    from rich.console import Console

    from kaito.cli import circle, demonstration, story
    from kaito.cli.interrupts import sigterm_as_ctrl_c

    sigterm_as_ctrl_c()
    console, tale = Console(), circle.tell if tuning else demonstration.tell
    try:
        told = story.run(console, tale, on_azure=cloud is Cloud.ARM)
    except KeyboardInterrupt:
        console.print("The demo was interrupted; nothing of it is left.")
        raise typer.Exit(130) from None
    raise typer.Exit(0 if told else 1)
