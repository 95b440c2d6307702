"""``kaito events export`` and ``kaito events import``: recordings out of where they are, and into a recorder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventing.recordings.lines import Line, lines
from eventing.recordings.recording import Record, Recording, RecordingError, files, objects_of, read_lines
from kaito.cli.recordings import EVERYTHING, Wanted, sources
from kaito.runtime.recording import records
from kaito.runtime.recording.sinks import HttpSink

#: Records that are sent together.
_TOGETHER: Final = 500


def exported(named: Sequence[str], directory: Path, wanted: Wanted) -> Iterator[bytes]:
    """The lines of a recording with what is wanted and what that needs to be decided again. Raises RecordingError."""
    found = (it for source in sources(named, directory) for it in source.read(wanted.part))
    return (line for line, _ in found) if wanted == EVERYTHING else _chosen(list(found), wanted)


def _chosen(found: Sequence[tuple[bytes, Record]], wanted: Wanted) -> Iterator[bytes]:
    recording = Recording.of(record for _, record in found)
    names, processes = set[str](), set[str]()
    for line in filter(wanted, lines(recording)):
        names |= _names(line, recording)
        processes.add(line.record.process)
    for text, record in found:
        if record.name in names or (record.kind == records.INSTALLATION and record.process in processes):
            yield text


def _names(line: Line, recording: Recording) -> set[str]:
    """Of all that belongs to it."""
    writes = [write for it in line.decisions for write in recording.writes.get(it.name, ())]
    belong = [line.record, *line.decisions, *writes, *filter(None, [line.answer])]
    return {it.name for it in belong}.union(*(objects_of(it.data) for it in line.decisions))


@dataclass(slots=True)
class Imported:
    """``left_out``: decisions that the recording has not all of that they were made of."""

    records: int = 0
    left_out: int = 0


def imported(paths: Iterable[Path], url: str) -> Imported:
    """Into that recorder, which keeps what it has already as it is. Raises RecordingError."""
    sink, done, batch = HttpSink(f"{url.rstrip('/')}/"), Imported(), list[bytes]()
    try:
        for line in _whole(paths, done):
            batch.append(line)
            if len(batch) == _TOGETHER:
                sink.put(batch)
                batch.clear()
        sink.put(batch)
    except OSError as error:
        raise RecordingError(f"{error}; import it again, and it goes on where it was") from error
    finally:
        sink.close()
    return done


def _whole(paths: Iterable[Path], done: Imported) -> Iterator[bytes]:
    """The lines but those of decisions that the recorder would not take."""
    objects, processes = set[str](), set[str]()
    for line, record in (it for file in files(paths) for it in read_lines(file)):
        match record.kind:
            case records.OBJECT:
                objects.add(record.name)
            case records.INSTALLATION:
                processes.add(record.process)
            case records.DECISION if not (record.process in processes and objects_of(record.data) <= objects):
                done.left_out += 1
                continue
        done.records += 1
        yield line
