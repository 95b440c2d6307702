"""What is kept, and what goes: whatever happens, what is left can be replayed, and does not take more than it may."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, make_url, select
from structlog.testing import capture_logs

from eventing.recorder.database import MENTIONS, RECORDS
from eventing.recorder.store import Incomplete
from eventing.recordings.recording import objects_of
from kaito.api.resources import Object
from kaito.runtime.recording import codec, records
from tests.recorders import Recorder, recorder
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW, PROCESS

ONE, OTHER = told.config_map("one"), told.config_map("other")
NEEDED = (records.OBJECT, records.INSTALLATION)


def kept(recorder: Recorder) -> list[tuple[str, str]]:
    """Kinds and ids, in the order in which they came."""
    with recorder.engine.connect() as connection:
        rows = connection.execute(select(RECORDS.c.kind, RECORDS.c.id).order_by(RECORDS.c.position))
        return [(row.kind, row.id) for row in rows]


def ids(recorder: Recorder) -> list[str]:
    return [name for _, name in kept(recorder)]


def size(recorder: Recorder) -> int:
    with recorder.engine.connect() as connection:
        return int(connection.scalar(select(func.coalesce(func.sum(RECORDS.c.size), 0))) or 0)


def test_what_is_kept_is_kept_once(tmp_path: Path) -> None:
    with recorder(tmp_path) as it:
        events = [told.installation(), told.delivery("d"), told.kept_object(ONE), told.decision("c", ONE)]
        it.put([*events, events[1]], NOW)
        it.put([told.answer("a", "d"), *events], NOW)
        assert ids(it) == ["i", "d", codec.digest(ONE), "c", "a"]
        with it.engine.connect() as connection:
            assert connection.scalar(select(func.count()).select_from(MENTIONS)) == 3  # timer, the object, the delivery


def test_an_object_is_everybodys_and_other_records_are_their_processs(tmp_path: Path) -> None:
    with recorder(tmp_path) as it:
        for process in (PROCESS, "kaito-tuning/bb"):
            it.put(
                [told.installation(process), told.kept_object(ONE, process), told.delivery("d", process=process)], NOW
            )
        assert ids(it) == ["i", codec.digest(ONE), "d", "i", "d"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([told.installation(), told.delivery("d"), told.decision("c", ONE)], f"object {codec.digest(ONE)}, which is"),
        ([told.delivery("d"), told.kept_object(ONE), told.decision("c", ONE)], "whose installation is not here"),
    ],
)
def test_what_could_not_be_replayed_is_refused_with_all_that_comes_with_it(
    tmp_path: Path, events: list[bytes], said: str
) -> None:
    with recorder(tmp_path) as it:
        with pytest.raises(Incomplete, match=said):
            it.put(events, NOW)
        assert ids(it) == []


def test_what_is_too_old_goes_with_what_nothing_else_needs(tmp_path: Path) -> None:
    with recorder(tmp_path, retention=100) as it:
        then = [told.installation(), told.kept_object(ONE), told.kept_object(OTHER)]
        it.put([*then, told.delivery("d1"), told.decision("c1", ONE, OTHER), told.write("w1", "c1")], NOW)
        it.put([told.decision("c2", ONE)], NOW + timedelta(seconds=90))
        with capture_logs() as logs:
            it.put([told.answer("a", "d1")], NOW + timedelta(seconds=170))
        assert ids(it) == ["i", codec.digest(ONE), "c2", "a"]
        assert [line["event"] for line in logs] == ["pruned"]
        it.put([], NOW + timedelta(seconds=300))
        assert ids(it) == []


def test_a_record_of_long_ago_is_as_young_as_its_coming(tmp_path: Path) -> None:
    """Recordings are imported."""
    with recorder(tmp_path, retention=100) as it:
        it.put([told.delivery("d", when=NOW - timedelta(days=365))], NOW)
        it.put([told.delivery("e")], NOW + timedelta(seconds=99))
        assert ids(it) == ["d", "e"]


def test_a_position_is_never_another_records(tmp_path: Path) -> None:
    """Or who has read up to it would miss what comes."""
    with recorder(tmp_path, retention=100) as it:
        it.put([told.delivery("d")], NOW)
        it.put([], NOW + timedelta(seconds=200))
        it.put([told.delivery("e")], NOW + timedelta(seconds=300))
        with it.engine.connect() as connection:
            assert connection.scalars(select(RECORDS.c.position)).all() == [2]


def test_the_file_is_no_larger_than_it_may_be(tmp_path: Path) -> None:
    most = 2 << 20
    with recorder(tmp_path, most=most) as it:
        for number in range(60):
            objects = [told.config_map(f"{number}-{n}", "".join(map(str, range(500)))) for n in range(60)]
            decided = told.decision(f"c{number}", *objects)
            deliveries = (told.delivery(f"d{number}-{n}") for n in range(60))
            it.put([told.installation(), *map(told.kept_object, objects), *deliveries, decided], NOW)
        assert 1 < len(it.recording().decisions) < 60, "there was more than there is room for"
        assert size(it) <= most
    assert most / 2 < (tmp_path / "recordings.db").stat().st_size < most * 1.25


class Process:
    """A function's as the recorder sees it: it tells each object once, until it hears that it has to begin anew."""

    def __init__(self, name: str) -> None:
        self.name, self._told = name, set[str]()
        self._numbers = itertools.count(1)

    def decide(self, objects: Sequence[Object], when: datetime) -> list[bytes]:
        new = [it for it in objects if codec.digest(it) not in self._told]
        begins = [] if self._told else [told.installation(self.name, self._name(), when)]
        self._told |= {codec.digest(it) for it in objects} | {"installation"}
        heard, decided = self._name(), self._name()
        return [
            *begins,
            told.delivery(heard, process=self.name, when=when),
            *(told.kept_object(it, self.name, when) for it in new),
            told.decision(decided, *objects, because=(heard,), process=self.name, when=when),
            told.write(self._name(), decided, self.name, when),
            told.answer(self._name(), heard, self.name, when),
        ]

    def forget(self) -> None:
        self._told.clear()

    def _name(self) -> str:
        return f"{self.name[-2:]}-{next(self._numbers):08d}"


OBJECTS = [told.config_map(f"o{number}", "x" * (7**number % 900)) for number in range(6)]
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sets(st.sampled_from(range(6)), max_size=3), st.integers(0, 60)), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1_500, 40_000), st.integers(1, 300))
def test_whatever_comes_all_that_is_kept_can_be_replayed_and_fits(
    steps: list[tuple[str, set[int], int]], most: int, retention: int
) -> None:
    """Of both processes' records the last ones are there, as many as there is room for."""
    now, processes = NOW, {it: Process(f"kaito-workspace/{it}{it}") for it in "ab"}
    acknowledged = list[str]()
    with recorder(make_url("sqlite://"), retention, most) as it:
        for who, objects, seconds in steps:
            now += timedelta(seconds=seconds)
            lines = processes[who].decide([OBJECTS[number] for number in sorted(objects)], now)
            try:
                it.put(lines, now)
            except Incomplete:
                processes[who].forget()
            else:
                acknowledged += [
                    it["id"] for it in map(json.loads, lines) if it["type"].rpartition(".")[2] not in NEEDED
                ]
            check(it, most, acknowledged)


def check(it: Recorder, most: int, acknowledged: list[str]) -> None:
    there, recording = kept(it), it.recording()
    named = set[str]().union(*(objects_of(decision.data) for decision in recording.decisions.values()))
    assert named <= recording.objects.keys()
    assert {decision.process for decision in recording.decisions.values()} <= recording.installations.keys()
    rest = [name for kind, name in there if kind not in NEEDED]
    assert rest == acknowledged[len(acknowledged) - len(rest) :], "those that went are the oldest"
    first = next((place for place, (kind, _) in enumerate(there) if kind not in NEEDED), len(there))
    assert all(name in named for kind, name in there[:first] if kind == records.OBJECT), "nothing needs that one"
    assert size(it) <= most
