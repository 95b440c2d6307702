from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.inventory import Inventory, Remembered
from kaito.runtime.kube import WatchEvent


def node(name: str, version: int, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}}


def told(inventory: Inventory, *objects: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change.verb, change.object["metadata"]["name"]) for change in inventory.replace(objects)]


def test_the_first_list_adds_everything() -> None:
    assert told(Inventory(Remembered()), node("a", 1), node("b", 2)) == [("add", "a"), ("add", "b")]


def test_a_later_list_tells_only_the_difference() -> None:
    inventory = Inventory(Remembered())
    told(inventory, node("same", 1), node("changed", 2), node("gone", 3), node("anew", 4, uid="old"))
    assert told(inventory, node("same", 1), node("changed", 5), node("new", 6), node("anew", 7, uid="new")) == [
        ("delete", "gone"),
        ("delete", "anew"),
        ("update", "changed"),
        ("add", "new"),
        ("add", "anew"),
    ]


def test_a_synthesized_delete_carries_the_last_known_state() -> None:
    inventory = Inventory(Remembered())
    inventory.replace([node("a", 1)])
    inventory.take(WatchEvent("MODIFIED", node("a", 2)))
    (change,) = inventory.replace([])
    assert (change.verb, change.object) == ("delete", node("a", 2))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (WatchEvent("ADDED", node("b", 2)), [("add", "2")]),
        (WatchEvent("MODIFIED", node("a", 2)), [("update", "2")]),
        (WatchEvent("MODIFIED", node("a", 1)), []),
        (WatchEvent("MODIFIED", node("unheard", 2)), [("update", "2")]),
        (WatchEvent("DELETED", node("a", 2)), [("delete", "2")]),
        (WatchEvent("DELETED", node("unheard", 2)), [("delete", "2")]),
        (WatchEvent("ADDED", node("a", 3, uid="another")), [("delete", "1"), ("add", "3")]),
        (WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), []),
    ],
)
def test_watch_events(event: WatchEvent, told: list[tuple[str, str]]) -> None:
    inventory = Inventory(Remembered())
    inventory.replace([node("a", 1)])
    changes = inventory.take(event)
    assert [(change.verb, change.object["metadata"]["resourceVersion"]) for change in changes] == told


def test_an_object_that_leaves_a_selector_and_comes_back_is_added_again() -> None:
    inventory = Inventory(Remembered())
    steps = [("ADDED", 1), ("DELETED", 2), ("ADDED", 3), ("MODIFIED", 4)]
    changes = [inventory.take(WatchEvent(kind, node("a", version))) for kind, version in steps]
    assert [[change.verb for change in told] for told in changes] == [["add"], ["delete"], ["add"], ["update"]]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), max_size=3), max_size=6))
def test_whoever_follows_the_changes_knows_the_objects(lists: list[dict[str, int]]) -> None:
    inventory, follower = Inventory(Remembered()), dict[str, str]()
    for listed in lists:
        for change in inventory.replace([node(name, version) for name, version in listed.items()]):
            name, version = change.object["metadata"]["name"], change.object["metadata"]["resourceVersion"]
            assert (name in follower) is (change.verb != "add")
            if change.verb == "delete":
                del follower[name]
            else:
                follower[name] = version
        assert follower == {name: str(version) for name, version in listed.items()}
