"""``kaito events`` and ``kaito replay``, as commands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from eventing.recordings.lines import find
from eventing.recordings.recording import Recording
from eventing.recordings.story import story
from kaito.cli import recordings, replaying
from kaito.cli.options import DEFAULT_DIRECTORY, Directory, Format, Output
from kaito.cli.recordings import Wanted

events_app = typer.Typer(help="What the functions were told, saw, decided and wrote.")
Recordings = Annotated[
    list[Path] | None,
    typer.Option("--recording", "-r", help="A file or directory; left out, that of the platform in --dir."),
]
OfObject = Annotated[str, typer.Option("--object", help="Only of this, as KIND/NAMESPACE/NAME or an end of it.")]
OfFunction = Annotated[str, typer.Option("--function", help="Only of workspace, provisioner or tuning.")]
Since = Annotated[datetime | None, typer.Option("--since", parser=recordings.moment, metavar="TIME")]
Until = Annotated[datetime | None, typer.Option("--until", parser=recordings.moment, metavar="TIME")]


@events_app.callback(invoke_without_command=True)
def events(
    context: typer.Context,
    recording: Recordings = None,
    of_object: OfObject = "",
    function: OfFunction = "",
    since: Since = None,
    until: Until = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that something went wrong with.")] = False,
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """List what the functions were told, and what came of it."""
    if context.invoked_subcommand is not None:
        return
    found, wanted = recordings.opened(recording or (), directory), Wanted(of_object, function, since, until, failed)
    if output is Output.JSON:
        print(recordings.listed_json(found, wanted))
    else:
        for line in recordings.listed(found, wanted):
            print(line)


@events_app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of an event, or what the recording calls it.")],
    recording: Recordings = None,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """One event: what was seen because of it, what was decided and why, and what was written."""
    found = recordings.opened(recording or (), directory)
    print(story(find(found, name), found))


def replay(
    recording: Annotated[list[Path] | None, typer.Argument(metavar="FILE", show_default=False)] = None,
    event: Annotated[str, typer.Option("--event", metavar="ID", help="Only what came of this event.")] = "",
    of_object: OfObject = "",
    function: OfFunction = "",
    since: Since = None,
    until: Until = None,
    step: Annotated[bool, typer.Option("--step", help="Walk through the events, one after the other.")] = False,
    live: Annotated[str, typer.Option(metavar="URL", help="Send the events again, to a function or a Broker.")] = "",
    pace: Annotated[float, typer.Option(help="With --live: how fast time goes by; 0 is as fast as they answer.")] = 0,
    fuzz: Annotated[
        str, typer.Option(metavar="FAULTS", help="Run the history with faults: drop,duplicate,reorder,crash.")
    ] = "",
    seed: Annotated[int, typer.Option(help="With --fuzz: which events they happen to.")] = 1,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Have this release decide again what was decided, and say where it would do otherwise. Exit code 1 if anywhere.

    FILE is a recording, a directory with some, or CloudEvents in structured or binary mode.
    """
    wanted = Wanted(of_object, function, since, until)
    plain = replaying.plain(recording or ())
    if plain and not live:
        replaying.hinted(plain, _say)
        return
    found, well = Recording() if plain else recordings.opened(recording or (), directory), True
    if live:
        well = replaying.sent(plain or replaying.told(found, wanted, event), live, pace, _say)
    elif fuzz:
        well = replaying.fuzzed(found, wanted, replaying.faults(fuzz), seed, _say)
    elif step:
        replaying.walked(found, wanted, _ask, _say)
    else:
        well = replaying.replayed(found, wanted, event, _say)
    raise typer.Exit(0 if well else 1)


def _say(text: str) -> None:
    print(text, flush=True)


def _ask() -> str:
    """Where to go; to the end, where nobody answers any more."""
    try:
        return input("Enter: on, b: back, q: enough ")
    except EOFError:
        return "q"
