"""Where records are kept: SQLite's file, or a PostgreSQL.

A transaction sees one moment of it, and all that write wait for each other, also those of another process: so positions
are there in their order, and who has read up to one has missed none before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)

_METADATA: Final = MetaData()
_POSITION: Final = BigInteger().with_variant(Integer, "sqlite")  # which gives numbers only to an INTEGER
#: ``process`` is empty for objects, which are of nobody; ``time``, the record's own, and ``kept`` are microseconds
#: since 1970; ``size`` is in bytes; ``line`` is what a recording has, compressed.
RECORDS: Final = Table(
    "records",
    _METADATA,
    Column("position", _POSITION, primary_key=True),
    Column("process", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("function", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("line", LargeBinary, nullable=False),
    UniqueConstraint("id", "process"),
    Index("records_of_process", "process", "kind"),
    Index("records_by_age", "kept", "position", "size"),  # how old they are and how large, without reading them
    sqlite_autoincrement=True,  # a position that was once is never another record's
)
#: The ids of records that a record names, by its position.
MENTIONS: Final = Table(
    "mentions",
    _METADATA,
    Column("record", _POSITION, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Index("mentions_of_name", "name"),
    sqlite_with_rowid=False,
)
#: Seconds that a writer waits for another.
_BUSY_SECONDS: Final = 30
_WRITES: Final = "writes"


def connect(url: URL) -> Engine:
    """With the tables in it; raises SQLAlchemy's DBAPIError where there is no such database."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _as_we_want_it)
        event.listen(engine, "begin", _begin)
    else:
        engine = create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True)
    with _transaction(engine) as connection:
        _METADATA.create_all(connection)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the one writer; all of it is on disk when the block has ended."""
    with _transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            # First of all: what the transaction sees is what there is when it has the lock.
            connection.execute(text("LOCK TABLE records IN EXCLUSIVE MODE"))
        yield connection


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def _as_we_want_it(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # Python's own BEGIN comes too late for reads
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # or the machine's end could take what was acknowledged
    connection.execute("PRAGMA journal_size_limit=16777216")
    connection.execute("PRAGMA temp_store=MEMORY")  # there may be no other file to write


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")
