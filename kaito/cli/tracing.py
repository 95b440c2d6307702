"""``kaito trace``: one Workspace's trace, from ``kubectl apply`` to the first answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from eventing.recordings.part import Part
from eventing.recordings.recording import Record, Recording, RecordingError
from eventing.recordings.remote import is_url
from eventing.traces import files
from eventing.traces.scope import scope_of
from eventing.traces.sightings import Sightings
from eventing.traces.span import Span, to_otlp
from eventing.traces.trace import trace as trace_of
from kaito.cli import recordings
from kaito.cli.tree import rows
from kaito.embedded.recordings import TRACES


def shown(spans: Sequence[Span]) -> None:
    """As a tree."""
    console = Console()
    print(f"trace {spans[0].trace}")
    for row in rows(spans):
        console.print(row.coloured()) if console.is_terminal else print(row)


def spans_of(
    named: Sequence[str], traces: Sequence[Path], directory: Path, workspace: tuple[str, str], *, everything: bool
) -> Sequence[Span]:
    """Of the latest Workspace of that namespace and name. Raises RecordingError."""
    found = gathered(named, directory, *workspace)
    return trace_of(found, *workspace, partial(files.read, _folders(traces, directory)), everything=everything)


def to_json(spans: Sequence[Span]) -> str:
    """OTLP's."""
    return json.dumps(to_otlp(spans), indent=2)


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
