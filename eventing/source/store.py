"""A source's memory on disk: what it knows of the cluster and what is not sent yet, changed together or not at all.

SQLite's log is written ahead and synced to the disk at every commit: what a transaction has changed outlives the
process and the machine. The file belongs to one process at a time.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from eventing.inventory import Identity, Key, identity, key_of
from eventing.source.event import canonical
from kaito.api.resources import Object

_FILE: Final = "source.sqlite"
#: temp_store: a pod's root file system is read-only, /tmp included.
_PRAGMAS: Final = ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS known (
    scope TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, version TEXT NOT NULL, object BLOB NOT NULL,
    PRIMARY KEY (scope, namespace, name)
);
CREATE TABLE IF NOT EXISTS changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, verb TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL, object BLOB,
    due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scope, uid)
);
CREATE INDEX IF NOT EXISTS changes_by_name ON changes (scope, namespace, name, sequence);
CREATE INDEX IF NOT EXISTS changes_by_due ON changes (due, sequence);
CREATE INDEX IF NOT EXISTS changes_of_deletes ON changes (sequence) WHERE object IS NOT NULL;
"""
_IDENTITIES: Final = "SELECT namespace, name, uid, version FROM known WHERE scope = ?"
_IDENTITY: Final = "SELECT uid, version FROM known WHERE scope = ? AND namespace = ? AND name = ?"
_OBJECT: Final = "SELECT object FROM known WHERE scope = ? AND namespace = ? AND name = ?"
_PUT: Final = "INSERT OR REPLACE INTO known (scope, namespace, name, uid, version, object) VALUES (?, ?, ?, ?, ?, ?)"
_DROP: Final = "DELETE FROM known WHERE scope = ? AND namespace = ? AND name = ?"
_ADVICE: Final = {
    "SQLITE_BUSY": "another source runs on it, and each needs a directory of its own",
    "SQLITE_CORRUPT": "without this file the source begins anew",
    "SQLITE_NOTADB": "without this file the source begins anew",
}


class StoreError(Exception):
    """The file cannot be used; the message says what to do."""


class Store:
    """The file in ``directory``, from now until ``close``; raises StoreError. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / _FILE
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                self._database.execute(f"PRAGMA {pragma}")
            self._database.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            advice = _ADVICE.get(error.sqlite_errorname, "its directory must be writable, and the disk have room")
            raise StoreError(f"{file}: {error}: {advice}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is executed within it is on the disk when it ends; nothing of it where it raises."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """For within a transaction."""
        return self._database.execute(sql, parameters)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, parameters).fetchall()

    def keep_only(self, scopes: Collection[str]) -> None:
        """Forget what is of any other scope: its manifest no longer asks for that."""
        wanted = json.dumps([*scopes])
        with self.transaction():
            self.execute("DELETE FROM known WHERE scope NOT IN (SELECT value FROM json_each(?))", wanted)
            self.execute("DELETE FROM changes WHERE scope NOT IN (SELECT value FROM json_each(?))", wanted)

    def close(self) -> None:
        with self._lock:
            self._database.close()


class Stored:
    """What is known of the objects of one scope, in a Store. Writes are for within a transaction."""

    def __init__(self, store: Store, scope: str) -> None:
        self._store, self._scope = store, scope

    def identities(self) -> Mapping[Key, Identity]:
        rows = self._store.query(_IDENTITIES, self._scope)
        return {(namespace, name): Identity(uid, version) for namespace, name, uid, version in rows}

    def identity(self, key: Key) -> Identity | None:
        rows = self._store.query(_IDENTITY, self._scope, *key)
        return Identity(*rows[0]) if rows else None

    def object(self, key: Key) -> Object:
        ((found,),) = self._store.query(_OBJECT, self._scope, *key)
        obj: Object = from_json(found)
        return obj

    def put(self, obj: Object) -> None:
        is_now = identity(obj)
        self._store.execute(_PUT, self._scope, *key_of(obj), is_now.uid, is_now.version, canonical(obj))

    def drop(self, key: Key) -> None:
        self._store.execute(_DROP, self._scope, *key)
