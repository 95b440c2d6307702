"""All that was recorded, in memory, as it grows: the lines of each Workspace, and its states."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from console.belonging import of_decision, of_event, workspaces_seen
from console.states import State, States
from eventing.recordings.lines import Line, event_of, lines
from eventing.recordings.recording import Record, Recording, objects_of
from eventing.recordings.story import story
from kaito.api.resources import WORKSPACE
from kaito.runtime.keys import own_key
from kaito.runtime.recording import records

#: Lines that are kept; the oldest go, a fifth at once.
MOST: Final = 50_000
#: The Workspace that stands for all of them.
ALL: Final = ""
_Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A line, and the Workspaces (NAMESPACE/NAME) that it is of."""

    line: Line
    workspaces: frozenset[str]

    @property
    def name(self) -> str:
        return self.line.record.name

    @property
    def place(self) -> _Place:
        return self.line.record.order


@dataclass(slots=True)
class News:
    """``rows`` are new or otherwise than before, those in ``gone`` are no more; ``workspaces`` were seen anew."""

    rows: dict[str, Row] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    workspaces: set[str] = field(default_factory=set)


class History:
    """Thread-safe. ``lost``: how many records there was no room for when they were made."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.RLock()
        self._recording = Recording()
        self._rows: dict[str, Row] = {}
        #: In the order of time, of a Workspace; only those that something was decided for, if the other is True.
        self._order: defaultdict[tuple[str, bool], list[_Place]] = defaultdict(list)
        self._decided: defaultdict[str, dict[str, None]] = defaultdict(dict)  # by what it was decided for
        self._workspace: dict[str, str] = {}  # whose it is, by decision or delivery, and by subject
        self._states: defaultdict[str, States] = defaultdict(States)

    @property
    def lost(self) -> int:
        return self._recording.lost

    def take(self, found: Iterable[Record]) -> News:
        news = News()
        with self._lock:
            touched = set[str]()
            for record in sorted(found, key=lambda it: (it.when, it.kind != records.OBJECT, it.name)):
                touched |= self._add(record, news)
            for line in lines(self._part(touched)):
                self._put(line, news)
            if len(self._rows) > self._most:
                self._forget(self._most * 4 // 5)
        return news

    def count(self, workspace: str, *, decided: bool) -> int:
        with self._lock:
            return len(self._order.get((workspace, decided), ()))

    def page(self, workspace: str, offset: int, limit: int, *, decided: bool) -> Sequence[Row]:
        """In the order of time, from the ``offset``-th on."""
        with self._lock:
            found = self._order.get((workspace, decided), [])[offset : offset + limit]
            return [self._rows[name] for _, name in found]

    def place(self, row: Row, workspace: str, *, decided: bool) -> int | None:
        """How many are before it there; None where it is not there."""
        with self._lock:
            order = self._order.get((workspace, decided), [])
            place = bisect_left(order, row.place)
            return place if place < len(order) and order[place] == row.place else None

    def row(self, name: str) -> Row | None:
        with self._lock:
            return self._rows.get(name)

    def story(self, row: Row) -> str:
        with self._lock:
            return story(row.line, self._recording)

    def workspaces(self) -> dict[str, State]:
        """Each as it was seen last."""
        with self._lock:
            return {name: states.until(None)[-1] for name, states in self._states.items()}

    def states(self, workspace: str, when: datetime | None = None) -> Sequence[State]:
        """Of a Workspace, up to then, the last one last."""
        with self._lock:
            return self._states[workspace].until(when) if workspace in self._states else ()

    def _add(self, record: Record, news: News) -> set[str]:
        """Returns the names of the lines that it changes."""
        self._recording.add(record)
        match record.kind:
            case records.DELIVERY:
                self._hear(record, news)
                for decision in self._decided.get(record.name, ()):
                    self._drop(decision, news)  # it is of that delivery's line
                return {record.name}
            case records.DECISION:
                self._look(record, news)
                for cause in record.data["because"]:
                    self._decided[cause][record.name] = None
                return self._lines_of(record)
            case records.ANSWER:
                return {record.data["delivery"]}
            case records.WRITE:
                of = self._recording.decisions.get(record.data["decision"])
                return self._lines_of(of) if of else set()
        return set()

    def _lines_of(self, decision: Record) -> set[str]:
        return {it for it in decision.data["because"] if it in self._recording.deliveries} or {decision.name}

    def _hear(self, delivery: Record, news: News) -> None:
        event = event_of(delivery)
        workspace = of_event(event) if event else None
        if event is None or workspace is None:
            return
        self._workspace[delivery.name] = workspace
        obj = event.data
        if own_key(event.attributes, (WORKSPACE,)) and isinstance(obj, dict) and "resource" in obj:
            self._see(workspace, State(delivery.when, obj, event.type.endswith(".delete")), news)

    def _look(self, decision: Record, news: News) -> None:
        workspace = of_decision(decision, self._recording.objects) or self._workspace.get(decision.subject)
        if workspace is None:
            return
        self._workspace[decision.name] = self._workspace[decision.subject] = workspace
        for obj in workspaces_seen(decision, self._recording.objects):
            self._see(workspace, State(decision.when, obj), news)

    def _see(self, workspace: str, state: State, news: News) -> None:
        if self._states[workspace].add(state):
            news.workspaces.add(workspace)

    def _part(self, touched: set[str]) -> Recording:
        """What makes up these lines."""
        whole, part = self._recording, Recording()
        for name in touched:
            if name in whole.deliveries:
                part.deliveries[name] = whole.deliveries[name]
                part.decisions |= {it: whole.decisions[it] for it in self._decided.get(name, ())}
                if name in whole.answers:
                    part.answers[name] = whole.answers[name]
            elif name in whole.decisions:
                part.decisions[name] = whole.decisions[name]
        part.writes.update({it: whole.writes[it] for it in part.decisions if it in whole.writes})
        return part

    def _put(self, line: Line, news: News) -> None:
        of = (self._workspace.get(it) for it in (line.record.name, *(it.name for it in line.decisions)))
        row = Row(line, frozenset(filter(None, of)))
        for index in self._indices(row) - (self._indices(self._rows[row.name]) if row.name in self._rows else set()):
            insort(self._order[index], row.place)
        self._rows[row.name] = news.rows[row.name] = row

    def _drop(self, name: str, news: News) -> None:
        row = self._rows.pop(name, None)
        if row is not None:
            news.rows.pop(name, None)
            news.gone.add(name)
            for index in self._indices(row):
                del self._order[index][bisect_left(self._order[index], row.place)]

    @staticmethod
    def _indices(row: Row) -> set[tuple[str, bool]]:
        return {(it, decided) for it in (ALL, *row.workspaces) for decided in {False, bool(row.line.decisions)}}

    def _forget(self, kept: int) -> None:
        """All but the last lines, and whatever only the others need."""
        names = {name for _, name in self._order[ALL, False][-kept:]}
        oldest = self._rows[self._order[ALL, False][-kept][1]].line.record.when
        self._rows = {name: row for name, row in self._rows.items() if name in names}
        for index, order in list(self._order.items()):
            self._order[index] = [it for it in order if it[1] in names]
        whole, decisions = self._recording, {it.name for row in self._rows.values() for it in row.line.decisions}
        whole.deliveries = {name: it for name, it in whole.deliveries.items() if name in names}
        whole.answers = {name: it for name, it in whole.answers.items() if name in names}
        whole.decisions = {name: it for name, it in whole.decisions.items() if name in decisions}
        for name in whole.writes.keys() - decisions:
            del whole.writes[name]
        needed = set[str]().union(*(objects_of(it.data) for it in whole.decisions.values()))
        whole.objects = {name: it for name, it in whole.objects.items() if name in needed}
        caused = {cause: {it: None for it in them if it in decisions} for cause, them in self._decided.items()}
        self._decided = defaultdict(dict, {cause: them for cause, them in caused.items() if them})
        subjects = {it.subject for it in whole.decisions.values()}
        self._workspace = {
            name: it for name, it in self._workspace.items() if name in names or name in decisions or name in subjects
        }
        for states in self._states.values():
            states.forget(oldest)
