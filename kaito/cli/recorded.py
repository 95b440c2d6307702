"""``kaito events`` and ``kaito replay``, as commands."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from eventing.recordings.lines import find
from eventing.recordings.recording import Recording, RecordingError
from eventing.recordings.remote import is_url
from eventing.recordings.story import story
from kaito.cli import moving, recordings, replaying
from kaito.cli.options import DEFAULT_DIRECTORY, Directory, Format, Output
from kaito.cli.recordings import Wanted

events_app = typer.Typer(help="What the functions were told, saw, decided and wrote.")
Recordings = Annotated[
    list[str] | None,
    typer.Option(
        "--recording", "-r", help="A file, a directory, or a recorder's URL; left out, that of the platform in --dir."
    ),
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
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """List what the functions were told, and what came of it."""
    if context.invoked_subcommand is not None:
        return
    wanted = Wanted(of_object, function, since, until, failed)
    if follow:
        row = recordings.row_json if output is Output.JSON else recordings.row
        with contextlib.suppress(KeyboardInterrupt):
            for line in recordings.followed(recording or (), directory, wanted, row):
                _say(line)
        return
    found = recordings.opened(recording or (), directory, wanted)
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


@events_app.command("export")
def export(
    recording: Recordings = None,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; left out, to standard output.")] = None,
    of_object: OfObject = "",
    function: OfFunction = "",
    since: Since = None,
    until: Until = None,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """A recording of what is asked for, and of all that it needs to be decided again: a CloudEvent a line, in JSON."""
    lines = moving.exported(recording or (), directory, Wanted(of_object, function, since, until))
    try:
        with file.open("wb") if file else contextlib.nullcontext(sys.stdout.buffer) as out:
            out.writelines(lines)
    except OSError as error:
        raise RecordingError(f"{file or 'standard output'} cannot be written: {error.strerror}") from error


@events_app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, or directories with some.")],
    to: Annotated[str, typer.Option(metavar="URL", help="Of a recorder.")],
) -> None:
    """Have a recorder keep a recording. What it has already it keeps as it is, so that this can be done again."""
    done = moving.imported(files, to)
    print(f"{done.records} records are kept")
    if done.left_out:
        print(f"{done.left_out} decisions are left out: their recording has lost what they were made of")


def replay(
    recording: Annotated[list[str] | None, typer.Argument(metavar="FILE", show_default=False)] = None,
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

    FILE is a recording, a directory with some, a recorder's URL, or CloudEvents in structured or binary mode.
    """
    wanted = Wanted(of_object, function, since, until)
    plain = replaying.plain([Path(it) for it in recording or () if not is_url(it)])
    if plain and not live:
        replaying.hinted(plain, _say)
        return
    found, well = Recording() if plain else recordings.opened(recording or (), directory, wanted), True
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
