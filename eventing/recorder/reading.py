"""Reading: a part of what is kept, as a recording. With each decision come the deliveries that it was made for, its
writes, its objects and its installation, with each delivery its answer and the decisions that were made for it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select, true

from eventing.recorder.database import MENTIONS, RECORDS
from eventing.recorder.entry import microseconds
from eventing.recorder.store import NEEDED, chunks
from eventing.recordings.part import Part
from kaito.runtime.recording import records

#: Records that a page is found by: it has more, with what belongs to them.
_PAGE: Final = 200
_PARTS: Final = (records.ANSWER, records.WRITE)
_Found = Row[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """``cursor``: what to ask ``after`` the next time; ``lines``: as they were recorded, none before what it needs."""

    cursor: int
    lines: Iterator[bytes]


def read(engine: Engine, part: Part) -> Reading:
    """All that is there now; what comes while it is read is for the next time."""
    with engine.connect() as connection:
        last = connection.scalar(select(func.max(RECORDS.c.position))) or 0
    pages = _everything(engine, last) if part == Part() else _pages(engine, part, last)
    return Reading(max(part.after, last), (line for page in pages for line in page))


def _everything(engine: Engine, last: int) -> Iterator[list[bytes]]:
    after = 0
    while True:
        rows = select(RECORDS.c.position, RECORDS.c.line).where(RECORDS.c.position.between(after + 1, last))
        with engine.connect() as connection:
            found = connection.execute(rows.order_by(RECORDS.c.position).limit(_PAGE)).all()
        if not found:
            return
        after = found[-1].position
        yield [zlib.decompress(row.line) for row in found]


def _pages(engine: Engine, part: Part, last: int) -> Iterator[list[bytes]]:
    """Each of one moment: what goes while it is read, goes with all that it needs."""
    after, sent = part.after, set[int]()
    while True:
        with engine.connect() as connection:
            look = _Look(connection, _of(part))
            found = look.next(after, last, of_others=part.after > 0)
            if not found:
                return
            after = found[-1].position
            wanted = look.around(look.of(found)) - sent
            lines = look.lines(wanted)
        sent |= wanted
        yield lines


def _of(part: Part) -> ColumnElement[bool]:
    """Of what a record says itself."""
    asked: list[ColumnElement[bool]] = []
    if part.object:
        asked.append(RECORDS.c.object.endswith(part.object.lower(), autoescape=True))
    if part.function:
        asked.append(RECORDS.c.function.endswith(part.function, autoescape=True))
    if part.since:
        asked.append(RECORDS.c.time >= microseconds(part.since))
    if part.until:
        asked.append(RECORDS.c.time <= microseconds(part.until))
    return and_(true(), *asked)


class _Look:
    """At one moment of the database."""

    def __init__(self, connection: Connection, asked: ColumnElement[bool]) -> None:
        self._connection, self._asked = connection, asked

    def next(self, after: int, last: int, *, of_others: bool) -> Sequence[_Found]:
        """Some of what was asked for, and of what belongs ``of_others`` to what came before."""
        itself = and_(RECORDS.c.kind.not_in((*NEEDED, *_PARTS)), self._asked)
        whose = or_(itself, RECORDS.c.kind.in_(_PARTS)) if of_others else itself
        return self._rows(_rows(RECORDS.c.position.between(after + 1, last), whose).limit(_PAGE))

    def of(self, found: Sequence[_Found]) -> list[_Found]:
        """Those that were asked for: themselves, or those that they belong to."""
        whole = [it for it in found if it.kind not in _PARTS]
        owners = self._by_name(self._named(it for it in found if it.kind in _PARTS))
        asked = self._asked_for(owners)
        rest = set(owners).difference(asked)
        beside = [*self._by_name(self._named(rest)), *self._naming(rest, records.DECISION)]
        return [*whole, *asked, *self._asked_for(it for it in beside if it.kind not in NEEDED)]

    def around(self, asked: Sequence[_Found]) -> set[int]:
        """The positions of these and of all that belongs to them."""
        decisions = [it for it in (*asked, *self._naming(asked, records.DECISION)) if it.kind == records.DECISION]
        named = self._by_name(self._named(decisions))
        deliveries = [it for it in (*asked, *named) if it.kind == records.DELIVERY]
        rows = [
            *asked,
            *decisions,
            *named,
            *self._naming(decisions, records.WRITE),
            *self._naming(deliveries, records.ANSWER),
            *self._installations(decisions),
        ]
        return {it.position for it in rows}

    def lines(self, positions: Iterable[int]) -> list[bytes]:
        found = list[tuple[int, bytes]]()
        for some in chunks(positions):
            rows = select(RECORDS.c.position, RECORDS.c.line).where(RECORDS.c.position.in_(some))
            found += [(row.position, zlib.decompress(row.line)) for row in self._connection.execute(rows)]
        return [line for _, line in sorted(found)]

    def _asked_for(self, rows: Iterable[_Found]) -> list[_Found]:
        """Those of them that were, by what they say themselves."""
        these = (RECORDS.c.position.in_(some) for some in chunks({it.position for it in rows}))
        return [it for its in these for it in self._rows(_rows(its, self._asked))]

    def _by_name(self, names: Iterable[str]) -> list[_Found]:
        return [it for some in chunks(names) for it in self._rows(_rows(RECORDS.c.id.in_(some)))]

    def _named(self, rows: Iterable[_Found]) -> set[str]:
        """What these name."""
        found = set[str]()
        for some in chunks(it.position for it in rows):
            found.update(self._connection.scalars(select(MENTIONS.c.name).where(MENTIONS.c.record.in_(some))))
        return found

    def _naming(self, rows: Iterable[_Found], kind: str) -> list[_Found]:
        """Those of that kind that name these."""
        found = list[_Found]()
        for some in chunks({it.id for it in rows}):
            theirs = select(MENTIONS.c.record).where(MENTIONS.c.name.in_(some))
            found += self._rows(_rows(RECORDS.c.position.in_(theirs), RECORDS.c.kind == kind))
        return found

    def _installations(self, rows: Iterable[_Found]) -> list[_Found]:
        theirs = (RECORDS.c.process.in_(some) for some in chunks({it.process for it in rows}))
        return [it for its in theirs for it in self._rows(_rows(its, RECORDS.c.kind == records.INSTALLATION))]

    def _rows(self, rows: Select[Any]) -> Sequence[_Found]:
        return self._connection.execute(rows).all()


def _rows(*where: ColumnElement[bool]) -> Select[Any]:
    columns = select(RECORDS.c.position, RECORDS.c.kind, RECORDS.c.id, RECORDS.c.process)
    return columns.where(*where).order_by(RECORDS.c.position)
