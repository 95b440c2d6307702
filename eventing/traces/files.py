"""Spans that model servers have written to files, a line of OTLP's JSON each batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic_core import from_json

from eventing.recordings.recording import RecordingError
from eventing.traces.span import Span, from_otlp
from kaito.api.tracing import ENDING


def read(paths: Iterable[Path], trace: str) -> Iterator[Span]:
    """Those of that trace, of files and of directories with such. Raises RecordingError."""
    for path in paths:
        for file in sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path]:
            try:
                with file.open("rb") as lines:
                    yield from _spans(lines, file, trace)
            except OSError as error:
                raise RecordingError(f"{file} cannot be read: {error.strerror}") from error


def _spans(lines: Iterable[bytes], file: Path, trace: str) -> Iterator[Span]:
    wanted = trace.encode()
    for number, line in enumerate(lines, 1):
        if wanted not in line.lower():
            continue
        try:
            yield from (it for it in from_otlp(from_json(line)) if it.trace == trace)
        except ValueError as error:
            if line.endswith(b"\n"):
                raise RecordingError(f"{file}, line {number}: {error}") from error
            return  # whoever wrote it was cut short
