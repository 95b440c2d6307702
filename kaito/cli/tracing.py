"""``kaito trace``: one Workspace's trace, from ``kubectl apply`` to the first answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eventing.recordings.part import Part
from eventing.recordings.recording import Record, Recording, RecordingError
from eventing.recordings.remote import is_url
from eventing.traces import files
from eventing.traces.scope import scope_of
from eventing.traces.sightings import Sightings
from eventing.traces.span import to_otlp
from eventing.traces.trace import trace as trace_of
from kaito.cli import recordings
from kaito.cli.options import DEFAULT_DIRECTORY, Directory, Format, Output
from kaito.cli.recorded import Recordings
from kaito.cli.tree import rows
from kaito.embedded.recordings import TRACES


def trace(
    workspace: Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME")],
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

    It is of the latest Workspace of that name. JSON is OTLP's.
    """
    namespace, _, name = workspace.rpartition("/")
    namespace = namespace or "default"
    found = gathered(recording or (), directory, namespace, name)
    spans = trace_of(
        found, namespace, name, partial(files.read, _folders(traces or (), directory)), everything=everything
    )
    if otlp:
        from kaito.cli.exporting import send  # OpenTelemetry takes its time to be imported

        print(f"{len(spans)} spans of trace {spans[0].trace} are sent to {send(spans, otlp)}")
    elif output is Output.JSON:
        print(json.dumps(to_otlp(spans), indent=2))
    else:
        console = Console()
        print(f"trace {spans[0].trace}")
        for row in rows(spans):
            console.print(row.coloured()) if console.is_terminal else print(row)


def gathered(named: Sequence[str], directory: Path, namespace: str, name: str) -> Recording:
    """What there is about that Workspace, and maybe more; of a recorder, its part. Raises RecordingError."""
    sources = recordings.sources(named, directory)

    def read(part: Part) -> Iterator[Record]:
        return (record for it in sources for _, record in it.read(part))

    if not any(map(is_url, named)):
        return Recording.of(read(Part()))
    found = list(read(Part(object=f"workspace/{namespace}/{name}")))
    try:
        scope = scope_of(Sightings(Recording.of(found)), namespace, name)
    except RecordingError:
        return Recording.of(read(Part()))
    found += [record for it in sorted(scope.subjects) for record in read(Part(object=it))]
    return Recording.of({(it.process, it.kind, it.name): it for it in found}.values())


def _folders(named: Sequence[Path], directory: Path) -> list[Path]:
    """These, and the platform's."""
    own = directory / TRACES
    return [*named, *([own] if own.is_dir() else [])]
