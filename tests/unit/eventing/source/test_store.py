from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from eventing.source.store import Store, StoreError
from kaito.runtime.kube import WatchEvent
from tests.unit.eventing.source.world import Opened, node


def test_a_file_belongs_to_one_source(tmp_path: Path) -> None:
    first = Store(tmp_path)
    with pytest.raises(StoreError, match="another source runs on it"):
        Store(tmp_path)
    first.close()
    Store(tmp_path).close()


def spoil(directory: Path) -> None:
    (directory / "source.sqlite").write_bytes(b"what is this? " * 100)


def take(directory: Path) -> None:
    (directory / "source.sqlite").mkdir()


@pytest.mark.parametrize(("harm", "advice"), [(spoil, "begins anew"), (take, "must be writable")])
def test_a_file_that_cannot_be_used_is_refused_with_advice(
    tmp_path: Path, harm: Callable[[Path], None], advice: str
) -> None:
    harm(tmp_path)
    with pytest.raises(StoreError, match=advice):
        Store(tmp_path)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.ledger.replace([node("a", 1)])
    with contextlib.suppress(ZeroDivisionError), opened.store.transaction():
        opened.store.execute("DELETE FROM known")
        opened.store.execute("DELETE FROM changes")
        raise ZeroDivisionError
    assert opened.waits() == [("add", "a", "1")]
    opened.store.close()


def test_what_the_manifest_no_longer_asks_for_is_forgotten(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.ledger.replace([node("a", 1)])
    opened.store.keep_only(["nodes", "pods"])
    assert opened.waits() == [("add", "a", "1")]
    opened.store.keep_only(["pods"])
    assert opened.waits() == []
    opened.ledger.replace([node("a", 1)])
    assert opened.waits() == [("add", "a", "1")], "nothing is known of it"
    opened.store.close()


def test_every_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    full, wal = 2, "wal"
    assert store.query("PRAGMA synchronous") == [(full,)]
    assert store.query("PRAGMA journal_mode") == [(wal,)]
    store.close()


def test_the_mode_reference_keeps_no_secret(tmp_path: Path) -> None:
    opened = Opened(tmp_path, mode="Reference")
    secret = {**node("s", 1, data={"password": "aHVudGVyMg=="}), "kind": "Secret"}
    secret["metadata"]["annotations"] = {"last-applied": "aHVudGVyMg=="}
    opened.ledger.replace([secret])
    opened.ledger.take(WatchEvent("DELETED", secret))
    opened.store.close()
    assert not [file for file in tmp_path.iterdir() if b"aHVudGVyMg" in file.read_bytes()]
    with sqlite3.connect(tmp_path / "source.sqlite") as database:
        ((kept,),) = database.execute("SELECT object FROM changes").fetchall()
    assert b'"kind":"Secret"' in kept
