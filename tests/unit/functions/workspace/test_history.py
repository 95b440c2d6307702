"""The history of what a Workspace asked for."""

from __future__ import annotations

import copy

from functions.workspace.history import LIMIT, digest, is_recorded, record
from kaito.api.resources import CONTROLLER_REVISION, Object
from kaito.runtime.plan import Apply, Delete
from tests.unit.functions.workspace.cluster import Cluster
from tests.unit.functions.workspace.scenes import workspace


def asking(strength: str) -> Object:
    obj = workspace()
    obj["inference"]["adapters"] = [{"source": {"name": "a", "image": "a:1"}, "strength": strength}]
    obj["metadata"]["annotations"] = {}
    return obj


class Kept:
    """What is kept of one Workspace's history."""

    def __init__(self) -> None:
        self.revisions: dict[str, Object] = {}

    def ask(self, strength: str) -> str:
        """Ask for it; returns the number of its revision."""
        effects, annotations = record(asking(strength), list(self.revisions.values()))
        for effect in effects:
            if isinstance(effect, Apply):
                obj = copy.deepcopy(effect.object)
                obj["metadata"]["uid"] = obj["metadata"]["name"]
                self.revisions[obj["metadata"]["name"]] = obj
            elif isinstance(effect, Delete):
                del self.revisions[effect.name]
        assert annotations["workspace.kaito.io/hash"] == digest(asking(strength))
        return annotations["workspace.kaito.io/revision"]

    def numbers(self) -> list[int]:
        return sorted(it["revision"] for it in self.revisions.values())


def test_each_wish_is_a_revision_with_a_number() -> None:
    kept = Kept()
    assert [kept.ask(strength) for strength in ("0.1", "0.2", "0.3")] == ["1", "2", "3"]
    latest = max(kept.revisions.values(), key=lambda it: int(it["revision"]))
    assert latest["data"] == {field: asking("0.3")[field] for field in ("resource", "inference")}
    assert latest["metadata"]["ownerReferences"][0]["kind"] == "Workspace", "it goes with it"


def test_what_is_asked_for_again_is_the_latest() -> None:
    kept = Kept()
    assert [kept.ask(strength) for strength in ("0.1", "0.2", "0.1")] == ["1", "2", "3"]
    assert kept.numbers() == [2, 3]


def test_cut_short_it_is_recorded_once() -> None:
    kept = Kept()
    assert kept.ask("0.1") == kept.ask("0.1") == "1"
    assert kept.numbers() == [1]


def test_only_the_latest_are_kept() -> None:
    kept = Kept()
    for number in range(LIMIT + 5):
        kept.ask(str(number))
    assert kept.numbers() == list(range(6, LIMIT + 6))


def test_only_what_is_asked_for_makes_a_revision() -> None:
    obj = workspace()
    assert is_recorded(obj)
    assert record(obj, []) == ((), {})
    obj["metadata"]["annotations"]["kaito.sh/scale-to-zero"] = "true"
    assert is_recorded({**obj, "status": {"state": "Ready"}})
    assert not is_recorded({**obj, "resource": {**obj["resource"], "preferredNodes": ["a"]}})


def test_another_workspace_of_the_name_had_a_history_of_its_own() -> None:
    kept = Kept()
    kept.ask("0.1")
    anew = asking("0.1")
    anew["metadata"]["uid"] = "another"
    (effect,), annotations = record(anew, list(kept.revisions.values()))
    assert isinstance(effect, Apply)
    assert effect.object["metadata"]["name"] not in kept.revisions
    assert annotations["workspace.kaito.io/revision"] == "1"


def test_a_wish_that_changed_before_its_first_mark_has_the_next_number() -> None:
    cluster = Cluster()
    new = asking("0.1")
    new["metadata"]["finalizers"] = []
    made = cluster.create(new)
    cluster.reconcile("default", "phi", writes=1)
    cluster.change(made, inference=asking("0.2")["inference"])
    cluster.reconcile("default", "phi")
    assert sorted(it["revision"] for it in cluster.every(CONTROLLER_REVISION)) == [1, 2]
    assert made["metadata"]["annotations"]["workspace.kaito.io/revision"] == "2"
