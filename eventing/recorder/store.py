"""Keeping records, and letting the oldest go. What is kept can be replayed: decisions have all they were made of."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine, delete, exists, func, insert, select

from eventing.recorder.database import MENTIONS, RECORDS, writing
from eventing.recorder.entry import Entry, microseconds
from kaito.runtime.recording import records

#: What stays as long as it is needed, and goes when it is not.
NEEDED: Final = (records.OBJECT, records.INSTALLATION)
#: Bytes that a record takes beside its line, and that each mention takes, as measured.
_RECORD_BYTES, _MENTION_BYTES = 320, 96
#: Of the room that there is, what is left when something has to go.
_LEFT: Final = 0.9
_AGE_IS_LOOKED_AT: Final = timedelta(minutes=1)
#: Values in one statement: databases take no more than some ten thousand.
_VALUES: Final = 5_000
_Value = TypeVar("_Value")
log = structlog.get_logger()


class Incomplete(Exception):
    """A decision comes without an object or the installation that it was made of, and neither is kept."""


class Store:
    """``retention`` is in seconds since a record came, ``most`` in bytes. Thread-safe."""

    def __init__(self, engine: Engine, retention: float, most: int) -> None:
        self._engine, self._retention, self._most = engine, timedelta(seconds=retention), most
        self._lock = threading.Lock()
        self._size: int | None = None  # not known before the first prune
        self._pruned: datetime | None = None

    def put(self, entries: Iterable[Entry], now: datetime) -> None:
        """Keep them all, or raise Incomplete. What is kept already, known by its process and id, stays as it is."""
        unique = {(it.id, it.process): it for it in entries}
        with self._lock:
            with writing(self._engine) as connection:
                known = _known(connection, unique.keys())
                new = [it for key, it in unique.items() if key not in known]
                _check(connection, new)
                added = _insert(connection, new, microseconds(now))
            self._size = None if self._size is None else self._size + added
            if self._is_due(now):
                self._prune(now)

    def _is_due(self, now: datetime) -> bool:
        if self._pruned is None or self._size is None:
            return True
        return self._size > self._most or now - self._pruned > _AGE_IS_LOOKED_AT

    def _prune(self, now: datetime) -> None:
        most = self._most
        with writing(self._engine) as connection:
            before = _size(connection)
            cut = _last_before(connection, microseconds(now - self._retention))
            _drop(connection, cut)
            while (size := _size(connection)) > most:
                most = int(self._most * _LEFT)
                cut = _last_of(connection, cut, size - most)
                _drop(connection, cut)
        self._size, self._pruned = size, now
        if size < before:
            log.info("pruned", bytes=before - size, left=size)


def _known(connection: Connection, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    columns = select(RECORDS.c.id, RECORDS.c.process)
    found = (connection.execute(columns.where(RECORDS.c.id.in_(ids))) for ids in chunks({key[0] for key in keys}))
    return {(row.id, row.process) for rows in found for row in rows}


def _check(connection: Connection, new: Sequence[Entry]) -> None:
    decisions = [it for it in new if it.kind == records.DECISION]
    processes = {it.process for it in new if it.kind == records.INSTALLATION}
    objects = {it.id for it in new if it.kind == records.OBJECT}
    for ids in chunks({name for it in decisions for name in it.objects} - objects):
        there = select(RECORDS.c.id).where(RECORDS.c.kind == records.OBJECT, RECORDS.c.id.in_(ids))
        objects.update(connection.scalars(there))
    for names in chunks({it.process for it in decisions} - processes):
        started = select(RECORDS.c.process).where(RECORDS.c.kind == records.INSTALLATION, RECORDS.c.process.in_(names))
        processes.update(connection.scalars(started))
    for it in decisions:
        if lost := it.objects - objects:
            raise Incomplete(
                f"decision {it.id} was made of object {min(lost)}, which is not here: tell all objects anew"
            )
        if it.process not in processes:
            raise Incomplete(f"decision {it.id} is of {it.process}, whose installation is not here: tell it anew")


def _insert(connection: Connection, new: Sequence[Entry], kept: int) -> int:
    """Returns the bytes that they take."""
    if not new:
        return 0
    rows = [_row(it, kept) for it in new]
    positions = connection.scalars(insert(RECORDS).returning(RECORDS.c.position, sort_by_parameter_order=True), rows)
    mentions = [
        {"record": position, "name": name}
        for position, it in zip(positions, new, strict=True)
        for name in it.objects | it.others
    ]
    if mentions:
        connection.execute(insert(MENTIONS), mentions)
    return sum(int(row["size"]) for row in rows)


def _row(entry: Entry, kept: int) -> dict[str, str | int | bytes]:
    line = zlib.compress(entry.line)
    return {
        "process": entry.process,
        "id": entry.id,
        "kind": entry.kind,
        "function": entry.function,
        "object": entry.object,
        "time": entry.time,
        "kept": kept,
        "size": len(line) + _RECORD_BYTES + _MENTION_BYTES * len(entry.objects | entry.others),
        "line": line,
    }


def _size(connection: Connection) -> int:
    return int(connection.scalar(select(func.coalesce(func.sum(RECORDS.c.size), 0))) or 0)


def _last_before(connection: Connection, moment: int) -> int:
    """The position of the last one that came before the moment; 0 where none did."""
    older = select(RECORDS.c.position).where(RECORDS.c.kept < moment)
    return int(connection.scalar(older.order_by(RECORDS.c.kept.desc(), RECORDS.c.position.desc()).limit(1)) or 0)


def _last_of(connection: Connection, after: int, size: int) -> int:
    """The position up to which those ``after`` that one take so many bytes together, or the last one."""
    rows = select(RECORDS.c.position, RECORDS.c.size).where(RECORDS.c.position > after).order_by(RECORDS.c.position)
    position = after
    with connection.execute(rows.execution_options(yield_per=_VALUES)) as found:
        for row in found:
            position, size = int(row.position), size - row.size
            if size <= 0:
                break
    return position


def _drop(connection: Connection, cut: int) -> None:
    """All up to that position but what is needed by others that stay."""
    here = RECORDS.c.position <= cut
    other = RECORDS.alias()
    connection.execute(delete(RECORDS).where(here, RECORDS.c.kind.not_in(NEEDED)))
    connection.execute(delete(MENTIONS).where(MENTIONS.c.record <= cut))
    named = exists().where(MENTIONS.c.name == RECORDS.c.id)
    connection.execute(delete(RECORDS).where(here, RECORDS.c.kind == records.OBJECT, ~named))
    at_work = exists().where(other.c.process == RECORDS.c.process, other.c.kind.not_in(NEEDED))
    connection.execute(delete(RECORDS).where(here, RECORDS.c.kind == records.INSTALLATION, ~at_work))


def chunks(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """Of so many as a statement takes."""
    every = list(values)
    for start in range(0, len(every), _VALUES):
        yield every[start : start + _VALUES]
