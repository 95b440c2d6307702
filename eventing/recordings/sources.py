"""Where recordings are: files that functions write, or a recorder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from eventing.recordings.part import Part
from eventing.recordings.recording import Record, RecordingError, files, read_lines, records_in

#: Bytes of a file's first line that hold the id and the time of a record.
_BEGINNING: Final = 512


class Source(Protocol):
    """All of it raises RecordingError."""

    def read(self, part: Part) -> Iterator[tuple[bytes, Record]]:
        """Each line with its record: all of that part, and maybe more."""

    def new(self, part: Part) -> Iterator[Record]:
        """Those of that part, and maybe more, that were not there the last time."""


class Files:
    """Files, and directories with such, which may grow and become more."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._places: dict[tuple[int, int, bytes], int] = {}

    def read(self, _part: Part) -> Iterator[tuple[bytes, Record]]:
        return (found for file in files(self._paths) for found in read_lines(file))

    def new(self, _part: Part) -> Iterator[Record]:
        for file in files(self._paths):
            try:
                lines = self._new_lines(file)
            except OSError as error:
                raise RecordingError(f"{file} cannot be read: {error.strerror}") from error
            yield from (record for _, record in records_in(lines, str(file)))

    def _new_lines(self, file: Path) -> list[bytes]:
        """Those that are written to their end. A full file gets another name, and is the same one; a new one may get
        the number of one that is gone, and begins otherwise: with a record of its own."""
        with file.open("rb") as out:
            about = os.fstat(out.fileno())
            identity = about.st_dev, about.st_ino, out.readline(_BEGINNING)
            place = out.seek(self._places.get(identity, 0))
            content = out.read()
        end = content.rfind(b"\n") + 1
        self._places[identity] = place + end
        return content[:end].splitlines(keepends=True)
