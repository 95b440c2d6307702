"""A recording in memory: what is of which Workspace, in its order, however it comes in."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta

import pytest

from console.history import ALL, History
from eventing.recordings.lines import lines
from eventing.recordings.recording import Record, Recording, records_in
from kaito.api.resources import Object
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW
from tests.unit.eventing.recordings import scenes

PHI, POEMS = "default/phi", "default/poems"


def records(*said: bytes) -> list[Record]:
    return [record for _, record in records_in(said, "here")]


def names(history: History, workspace: str = ALL, *, decided: bool = False) -> list[str]:
    return [it.name for it in history.page(workspace, 0, 1_000_000, decided=decided)]


@pytest.fixture(scope="module")
def recorded() -> list[Record]:
    return records(*scenes.history().kept)


def taken(found: Iterable[Record]) -> History:
    history = History()
    history.take(found)
    return history


def test_its_lines_are_those_of_the_recording(recorded: list[Record]) -> None:
    history = taken(recorded)
    expected = list(lines(Recording.of(recorded)))
    assert [it.line for it in history.page(ALL, 0, 100, decided=False)] == expected
    assert {it for row in history.page(ALL, 0, 100, decided=False) for it in row.workspaces} == {PHI, POEMS}


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_same_in_whatever_order_it_comes(recorded: list[Record], seed: int) -> None:
    """Processes' files are read one after the other, and grow while they are."""
    shuffled = recorded[:]
    random.Random(seed).shuffle(shuffled)
    history = History()
    objects = [it for it in shuffled if it.kind == "object"]  # which a process tells first
    history.take(objects)
    for record in shuffled:
        history.take([record])
    whole = taken(recorded)
    for workspace in (ALL, PHI, POEMS):
        for decided in (True, False):
            found, expected = (it.page(workspace, 0, 100, decided=decided) for it in (history, whole))
            assert [it.line.record for it in found] == [it.line.record for it in expected]
            assert [it.line.outcome for it in found] == [it.line.outcome for it in expected]
    assert history.states(PHI) == whole.states(PHI)


def test_news_are_what_is_new_or_otherwise() -> None:
    history = History()
    assert list(history.take(records(told.delivery("d"))).rows) == ["d"]
    news = history.take(records(told.decision("c", because=("d",)), told.write("w", "c")))
    assert [it.line.decisions[0].name for it in news.rows.values()] == ["c"]
    assert names(history, PHI, decided=True) == ["d"]
    (row,) = history.take(records(told.answer("a", "d"))).rows.values()
    assert row.line.outcome == "1 write"
    assert not history.take(records(told.installation(), told.kept_object(told.config_map("x")))).rows


def test_a_decision_before_its_delivery_is_of_that_ones_line() -> None:
    history = History()
    assert list(history.take(records(told.decision("c", because=("d",)))).rows) == ["c"]
    news = history.take(records(told.delivery("d")))
    assert (list(news.rows), news.gone) == (["d"], {"c"})
    assert names(history, PHI) == ["d"]
    assert history.row("c") is None


def test_a_page_and_a_place() -> None:
    history = taken(records(*(told.delivery(f"d{it}", when=NOW + timedelta(seconds=it)) for it in range(10))))
    assert [it.name for it in history.page(ALL, 4, 3, decided=False)] == ["d4", "d5", "d6"]
    assert history.page(ALL, 10, 3, decided=False) == []
    assert history.count(ALL, decided=False) == 10
    assert history.count(ALL, decided=True) == history.count("no/such", decided=False) == 0
    row = history.row("d7")
    assert row is not None
    assert history.place(row, ALL, decided=False) == 7
    assert history.place(row, ALL, decided=True) is None


def told_workspace(version: str, verb: str = "update", uid: str = "u", at: int = 0) -> bytes:
    meta = {"name": "phi", "namespace": "default", "uid": uid, "resourceVersion": version}
    obj: Object = {"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", "metadata": meta, "resource": {}}
    said = json.loads(told.delivery(f"d{version}{verb}", when=NOW + timedelta(seconds=at)))
    headers = said["data"]["headers"] | {
        "ce-type": f"dev.knative.apiserver.resource.{verb}",
        "ce-apiversion": "kaito.sh/v1alpha1",
        "content-type": "application/json",
    }
    return told.said(
        "delivery", said["id"], {"headers": headers, "body": json.dumps(obj)}, when=NOW + timedelta(seconds=at)
    )


def test_a_workspace_is_as_its_last_version_was_and_once_gone_it_is() -> None:
    history = taken(records(told_workspace("9", at=1), told_workspace("10", at=2), told_workspace("9", at=3)))
    assert [it.object["metadata"]["resourceVersion"] for it in history.states(PHI)] == ["9", "10"]
    assert [it.version for it in history.states(PHI, NOW + timedelta(seconds=1))] == [9]
    late = told_workspace("8", at=4)
    assert history.take(records(late)).workspaces == {PHI}
    assert history.workspaces()[PHI].version == 10, "what comes late is older nonetheless"
    history.take(records(told_workspace("11", "delete", at=5)))
    assert history.workspaces()[PHI].gone
    history.take(records(told_workspace("12", "add", uid="another", at=6)))
    assert not history.workspaces()[PHI].gone


def test_it_holds_no_more_than_it_may_and_what_it_holds_is_whole() -> None:
    history = History(most=100)
    for number in range(500):
        when, obj = NOW + timedelta(seconds=number), told.config_map(f"c{number}")
        history.take(
            records(
                told.kept_object(obj, when=when),
                told.delivery(f"d{number:03}", when=when),
                told.decision(f"x{number:03}", obj, because=(f"d{number:03}",), when=when),
                told.write(f"w{number:03}", f"x{number:03}", when=when),
                told.answer(f"a{number:03}", f"d{number:03}", when=when),
            )
        )
    kept = names(history)
    assert 80 <= len(kept) <= 100
    assert kept == names(history, PHI, decided=True)
    assert kept[-1] == "d499"
    whole = history._recording
    assert (
        {len(it) for it in (whole.deliveries, whole.decisions, whole.answers, whole.writes)}
        == {len(whole.objects)}
        == {len(kept)}
    )
    assert len(history._decided) == len(kept)
    row = history.row(kept[-1])
    assert row is not None
    assert "c499" in history.story(row)
