"""The changes that the sink has not taken yet: one an object, whatever has happened to it meanwhile.

An object that changes while its change waits has one change still, with the last state: an add that is followed by
updates stays an add, and what is followed by a delete is a delete, also where nobody was told of the add. So whoever
hangs on deletes hears of every object that is gone, and nobody acts for one that is gone already.

The state itself is the inventory's: a change that waits takes a few hundred bytes. Only deletes bring the object that
nobody else has any more. There is a bound for those, and beyond it the oldest of them are dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic_core import from_json

from eventing.inventory import Change, Key, Verb, identity, key_of
from eventing.source.event import canonical
from eventing.source.metrics import COALESCED, DROPPED
from eventing.source.store import Store

_log: Final = structlog.get_logger()
#: A scope, and a namespace and name in it: what has an order of its own.
Place = tuple[str, Key]
#: The first of each name that is due: what was made anew under a name waits for the delete before it.
_NEXT: Final = """
SELECT c.sequence, c.scope, c.namespace, c.name, c.verb, c.id, c.time, c.attempts, COALESCE(c.object, known.object)
FROM changes AS c LEFT JOIN known USING (scope, namespace, name, uid)
WHERE c.due <= ? AND NOT EXISTS (
    SELECT 1 FROM changes AS earlier
    WHERE earlier.scope = c.scope AND earlier.namespace = c.namespace AND earlier.name = c.name
    AND earlier.sequence < c.sequence
)
ORDER BY c.due, c.sequence LIMIT ?
"""
_PUT: Final = """
INSERT INTO changes (scope, namespace, name, uid, verb, id, time, object, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, uid) DO UPDATE SET verb = excluded.verb, id = excluded.id, time = excluded.time,
    object = excluded.object, due = MIN(due, excluded.due)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change as it is to be sent now; ``attempts`` before have failed."""

    sequence: int
    place: Place
    change: Change
    id: str
    time: str
    attempts: int


class Spool:
    """In a Store. ``clock`` gives the seconds by which changes are due; ``most`` is what deletes may take, in bytes."""

    def __init__(self, store: Store, clock: Callable[[], float], most: int) -> None:
        self._store, self._clock, self._most, self._full = store, clock, most, False
        with store.transaction():  # The clock of the process before was another one.
            store.execute("UPDATE changes SET due = 0, attempts = 0")
        # Counted along: a transaction that fails is the end of this process, so this is never ahead of the file.
        ((self._bytes,),) = store.query("SELECT COALESCE(SUM(LENGTH(object)), 0) FROM changes")

    def put(self, scope: str, change: Change) -> None:
        """For within the transaction that changes what is known."""
        key, uid, verb = key_of(change.object), identity(change.object).uid, change.verb
        for before, length in self._store.query(
            "SELECT verb, COALESCE(LENGTH(object), 0) FROM changes WHERE scope = ? AND uid = ?", scope, uid
        ):
            verb = folded(before, verb)
            self._bytes -= length
            COALESCED.inc()
        obj = canonical(change.object) if verb == "delete" else None
        stamp = str(uuid.uuid4()), datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._store.execute(_PUT, scope, *key, uid, verb, *stamp, obj, self._clock())
        if obj is not None:
            self._bytes += len(obj)
            self._trim(uid)

    def next(self, in_flight: Collection[Place]) -> Waiting | None:
        """The change that is to be sent now, of an object of which none is under way."""
        for sequence, scope, namespace, name, verb, id_, time, attempts, obj in self._store.query(
            _NEXT, self._clock(), len(in_flight) + 1
        ):
            place = scope, (namespace, name)
            if place not in in_flight:
                return Waiting(sequence, place, Change(verb, from_json(obj)), id_, time, attempts)
        return None

    def due(self) -> float | None:
        """When the first of those that wait for a time is due, by the clock; None where none does."""
        ((first,),) = self._store.query("SELECT MIN(due) FROM changes WHERE due > ?", self._clock())
        return None if first is None else float(first)

    def sent(self, waiting: Waiting) -> None:
        """The sink has it. What has happened to the object since then waits on, as news of what the sink knows."""
        with self._store.transaction():
            taken = self._store.execute(
                "DELETE FROM changes WHERE sequence = ? AND id = ? RETURNING COALESCE(LENGTH(object), 0)",
                waiting.sequence,
                waiting.id,
            ).fetchall()
            if not taken and waiting.change.verb != "delete":
                self._store.execute(
                    "UPDATE changes SET attempts = 0, verb = 'update' WHERE sequence = ? AND verb = 'add'",
                    waiting.sequence,
                )
            self._bytes -= sum(length for (length,) in taken)
            self._full = self._full and self._bytes > 0

    def failed(self, waiting: Waiting, due: float) -> None:
        """The sink has not taken it: it waits until then. What has happened to the object since does not."""
        with self._store.transaction():
            self._store.execute(
                "UPDATE changes SET due = ?, attempts = attempts + 1 WHERE sequence = ? AND id = ?",
                due,
                waiting.sequence,
                waiting.id,
            )

    def waiting(self) -> int:
        ((count,),) = self._store.query("SELECT COUNT(*) FROM changes")
        return int(count)

    def _trim(self, newest: str) -> None:
        """Drop the oldest deletes, but for the one that has come just now, down to what they may take."""
        if self._bytes <= self._most:
            return
        if not self._full:
            _log.warning("spool full: the oldest deletes are dropped", bytes=self._most)
            self._full = True
        oldest = "SELECT sequence, LENGTH(object) FROM changes WHERE object IS NOT NULL AND uid <> ? ORDER BY sequence"
        for sequence, length in self._store.query(oldest, newest):
            self._store.execute("DELETE FROM changes WHERE sequence = ?", sequence)
            self._bytes -= length
            DROPPED.inc()
            if self._bytes <= self._most:
                return


def folded(waiting: Verb, news: Verb) -> Verb:
    """What one change is called that stands for two of the same object."""
    return "add" if (waiting, news) == ("add", "update") else news
