"""Recorders of a test's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, Engine, make_url

from eventing.recorder.app import create_app
from eventing.recorder.database import connect
from eventing.recorder.entry import entry_of
from eventing.recorder.reading import read
from eventing.recorder.store import Store
from eventing.recordings.part import Part
from eventing.recordings.recording import Recording, records_in
from kaito.runtime.events import from_json
from tests.serving import serving

WEEK, MUCH = 7 * 86_400.0, 1 << 30


@dataclass(frozen=True, slots=True)
class Recorder:
    """``engine`` and ``store`` beside what is told and asked in short."""

    engine: Engine
    store: Store

    def put(self, lines: Iterable[bytes], now: datetime) -> None:
        self.store.put((entry_of(from_json(json.loads(line))) for line in lines), now)

    def lines(self, part: Part | None = None) -> list[bytes]:
        return list(read(self.engine, part or Part()).lines)

    def recording(self, part: Part | None = None) -> Recording:
        return Recording.of(record for _, record in records_in(self.lines(part), "the recorder"))


@contextmanager
def recorder(url: URL | Path, retention: float = WEEK, most: int = MUCH) -> Iterator[Recorder]:
    """On that database, or in SQLite's file in that folder."""
    engine = connect(make_url(f"sqlite:///{url}/recordings.db") if isinstance(url, Path) else url)
    try:
        yield Recorder(engine, Store(engine, retention, most))
    finally:
        engine.dispose()


@contextmanager
def served(recorder: Recorder) -> Iterator[str]:
    """Its URL."""
    with serving(create_app(recorder.engine, recorder.store)) as url:
        yield url
