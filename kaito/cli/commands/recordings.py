"""What is made of recordings: ``kaito events``, ``replay`` and ``trace``."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from kaito.cli.options import (
    DEFAULT_DIRECTORY,
    Directory,
    Format,
    OfFunction,
    OfObject,
    Output,
    Recordings,
    Since,
    Until,
    WorkspaceName,
    named,
)

events_app = typer.Typer(help="What the functions were told, saw, decided and wrote.")


@events_app.callback(
    invoke_without_command=True, epilog="Example: kaito events --object default/workspace-smollm2 --failed"
)
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
    from kaito.cli import recordings

    wanted = recordings.Wanted(of_object, function, since, until, failed)
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


@events_app.command("show", epilog="Example: kaito events show ID")
def show(
    name: Annotated[str, typer.Argument(metavar="ID")],
    recording: Recordings = None,
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """One event: what was seen because of it, what was decided and why, and what was written.

    ID is an event's, or what the recording calls it.
    """
    from kaito.cli import recordings

    found = recordings.opened(recording or (), directory)
    print(recordings.shown_json(found, name) if output is Output.JSON else recordings.shown(found, name))


@events_app.command("export", epilog="Example: kaito events export --object workspace-smollm2 -o recording.ndjson")
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
    from eventing.recordings.recording import RecordingError
    from kaito.cli import moving, recordings

    lines = moving.exported(recording or (), directory, recordings.Wanted(of_object, function, since, until))
    try:
        with file.open("wb") if file else contextlib.nullcontext(sys.stdout.buffer) as out:
            out.writelines(lines)
    except OSError as error:
        raise RecordingError(f"{file or 'standard output'} cannot be written: {error.strerror}") from error


@events_app.command("import", epilog="Example: kaito events import recording.ndjson --to http://127.0.0.1:8080")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE")],
    to: Annotated[str, typer.Option(metavar="URL", help="Of a recorder.")],
) -> None:
    """Have a recorder keep a recording. What it has already it keeps as it is, so that this can be done again.

    FILEs are recordings, or directories with some.
    """
    from kaito.cli import moving

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
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Have this release decide again what was decided, and say where it would do otherwise. Exit code 1 if anywhere.

    FILE is a recording, a directory with some, a recorder's URL, or CloudEvents in structured or binary mode.
    """
    as_json = output is Output.JSON
    if as_json and (step or live or fuzz):
        raise typer.BadParameter("JSON is of decisions: leave --step, --live and --fuzz out", param_hint="--output")
    from eventing.recordings.recording import Recording
    from eventing.recordings.remote import is_url
    from kaito.cli import recordings, replaying

    wanted = recordings.Wanted(of_object, function, since, until)
    plain = replaying.plain([Path(it) for it in recording or () if not is_url(it)])
    if plain and not live:
        _say(replaying.hinted_json(plain)) if as_json else replaying.hinted(plain, _say)
        return
    found, well = Recording() if plain else recordings.opened(recording or (), directory, wanted), True
    if live:
        well = replaying.sent(plain or replaying.told(found, wanted, event), live, pace, _say)
    elif fuzz:
        well = replaying.fuzzed(found, wanted, replaying.faults(fuzz), seed, _say)
    elif step:
        replaying.walked(found, wanted, _ask, _say)
    else:
        well = replaying.replayed(found, wanted, event, _say, as_json=as_json)
    raise typer.Exit(0 if well else 1)


def trace(
    workspace: WorkspaceName,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of the Workspace; left out, default.")] = "",
    recording: Recordings = None,
    traces: Annotated[
        list[Path] | None,
        typer.Option("--traces", help="Spans of model servers: files of OTLP's JSON, or directories with some."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also events of which nothing came.")] = False,
    otlp: Annotated[str, typer.Option(metavar="URL", help="Send all spans to an OTLP endpoint, over HTTP.")] = "",
    output: Format = Output.TEXT,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """A Workspace's way from `kubectl apply` to its first answer: who was told and wrote what, and what took its time.

    WORKSPACE is NAME, NAMESPACE/NAME or workspace/NAME. It is the latest of that name. JSON is OTLP's.
    """
    where, name = named(workspace, namespace)
    from kaito.cli import tracing

    workspace_of = (where or "default", name)
    spans = tracing.spans_of(recording or (), traces or (), directory, workspace_of, everything=everything)
    if otlp:
        from kaito.cli.exporting import send

        print(f"{len(spans)} spans of trace {spans[0].trace} are sent to {send(spans, otlp)}")
    elif output is Output.JSON:
        print(tracing.to_json(spans))
    else:
        tracing.shown(spans)


def _say(text: str) -> None:
    print(text, flush=True)


def _ask() -> str:
    """Where to go; to the end, where nobody answers any more."""
    try:
        return input("Enter: on, b: back, q: enough ")
    except EOFError:
        return "q"
