from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventing.source.ledger import scope_of
from eventing.source.spec import spec_of
from kaito.runtime.kube import WatchEvent
from tests.unit.eventing.source.world import Opened, node


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(tmp_path)
    yield opened
    opened.store.close()


def test_after_downtime_a_list_tells_what_has_happened_and_no_more(tmp_path: Path) -> None:
    before = Opened(tmp_path)
    before.ledger.replace([node("same", 1), node("changed", 2), node("gone", 3, spec={"x": 1}), node("new", 4, "old")])
    assert {before.send()[0] for _ in range(4)} == {"add"}
    before.store.close()
    after = Opened(tmp_path)
    after.ledger.replace([node("same", 1), node("changed", 5), node("more", 6), node("new", 7, "new")])
    deleted = after.spool.next([])
    assert deleted is not None
    assert deleted.change.object == node("gone", 3, spec={"x": 1}), "a delete has the last known state"
    assert [after.send() for _ in range(5)] == [
        ("delete", "gone", "3"),
        ("delete", "new", "4"),
        ("update", "changed", "5"),
        ("add", "more", "6"),
        ("add", "new", "7"),
    ]
    assert after.waits() == []
    after.store.close()


def test_a_resync_tells_all_that_is_known_again(opened: Opened) -> None:
    opened.ledger.replace([node("a", 1), node("b", 2), node("c", 3)])
    opened.send()
    opened.send()
    opened.ledger.take(WatchEvent("DELETED", node("b", 4)))
    opened.ledger.resync()
    assert sorted(opened.waits()) == [("add", "c", "3"), ("delete", "b", "4"), ("update", "a", "1")]


def test_a_bookmark_changes_nothing(opened: Opened) -> None:
    opened.ledger.take(WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    assert opened.waits() == []
    assert opened.woken == 0


def manifest(**spec: Any) -> dict[str, Any]:
    given = {"resources": [{"apiVersion": "v1", "kind": "Node"}], "sink": {"uri": "http://sink/"}, **spec}
    return {"kind": "ApiServerSource", "metadata": {"name": "it"}, "spec": given}


@pytest.mark.parametrize(
    ("spec", "namespace", "is_same"),
    [
        ({}, "ns", True),
        ({"sink": {"uri": "http://elsewhere/"}}, "ns", True),
        ({"serviceAccountName": "other"}, "ns", True),
        ({"mode": "Resource"}, "ns", False),
        ({"namespaceSelector": {}}, "ns", False),
        ({}, "other", False),
        ({"resources": [{"apiVersion": "v1", "kind": "Pod"}]}, "ns", False),
        (
            {"resources": [{"apiVersion": "v1", "kind": "Node", "selector": {"matchLabels": {"a": "b"}}}]},
            "ns",
            False,
        ),
    ],
)
def test_nothing_is_known_where_a_manifest_asks_for_something_else(
    spec: dict[str, Any], namespace: str, is_same: bool
) -> None:
    before, after = spec_of(manifest()), spec_of(manifest(**spec))
    scopes = scope_of(before, "ns", before.resources[0]), scope_of(after, namespace, after.resources[0])
    assert (scopes[0] == scopes[1]) is is_same
