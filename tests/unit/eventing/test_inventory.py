from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.inventory import Inventory
from kaito.runtime.kube import WatchEvent


def node(name: str, version: int, uid: str = "u", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}}


def told(inventory: Inventory, *objects: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change.verb, change.object["metadata"]["name"]) for change in inventory.replace(objects)]


def test_the_first_list_adds_everything() -> None:
    assert told(Inventory(), node("a", 1), node("b", 2)) == [("add", "a"), ("add", "b")]


def test_a_later_list_tells_only_the_difference() -> None:
    inventory = Inventory()
    told(inventory, node("same", 1), node("changed", 2), node("gone", 3), node("anew", 4, uid="old"))
    assert told(inventory, node("same", 1), node("changed", 5), node("new", 6), node("anew", 7, uid="new")) == [
        ("delete", "gone"),
        ("delete", "anew"),
        ("update", "changed"),
        ("add", "new"),
        ("add", "anew"),
    ]


def test_a_synthesized_delete_carries_the_last_known_state() -> None:
    inventory = Inventory()
    inventory.replace([node("a", 1)])
    inventory.take(WatchEvent("MODIFIED", node("a", 2)))
    (change,) = inventory.replace([])
    assert (change.verb, change.object) == ("delete", node("a", 2))


@pytest.mark.parametrize(
    ("event", "verb"),
    [
        (WatchEvent("ADDED", node("b", 2)), "add"),
        (WatchEvent("MODIFIED", node("a", 2)), "update"),
        (WatchEvent("MODIFIED", node("a", 1)), None),
        (WatchEvent("MODIFIED", node("unheard", 2)), "update"),
        (WatchEvent("DELETED", node("a", 2)), "delete"),
        (WatchEvent("DELETED", node("unheard", 2)), "delete"),
        (WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), None),
    ],
)
def test_watch_events(event: WatchEvent, verb: str | None) -> None:
    inventory = Inventory()
    inventory.replace([node("a", 1)])
    change = inventory.take(event)
    assert (change and change.verb) == verb


def test_a_label_selector_is_entered_and_left() -> None:
    inventory = Inventory({"app": "x"})
    assert told(inventory, node("in", 1, app="x", more="y"), node("out", 1, app="z")) == [("add", "in")]
    steps = [
        WatchEvent("MODIFIED", node("out", 2, app="z")),
        WatchEvent("MODIFIED", node("out", 3, app="x")),
        WatchEvent("MODIFIED", node("out", 4, app="x")),
        WatchEvent("MODIFIED", node("out", 5)),
        WatchEvent("DELETED", node("out", 6)),
    ]
    changes = [inventory.take(step) for step in steps]
    assert [change and change.verb for change in changes] == [None, "add", "update", "delete", None]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), max_size=3), max_size=6))
def test_whoever_follows_the_changes_knows_the_objects(lists: list[dict[str, int]]) -> None:
    inventory, follower = Inventory(), dict[str, str]()
    for listed in lists:
        for change in inventory.replace([node(name, version) for name, version in listed.items()]):
            name, version = change.object["metadata"]["name"], change.object["metadata"]["resourceVersion"]
            assert (name in follower) is (change.verb != "add")
            if change.verb == "delete":
                del follower[name]
            else:
                follower[name] = version
        assert follower == {name: str(version) for name, version in listed.items()}
