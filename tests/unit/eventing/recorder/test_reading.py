"""A part of what is kept is a recording: it has what was asked for, and all that this needs to be decided again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from eventing.recorder import reading as module
from eventing.recorder.reading import read
from eventing.recordings.part import Part
from eventing.recordings.recording import Recording, records_in
from eventing.recordings.replay import Replay
from functions.tuning.observed import Observed as TuningObserved
from functions.workspace.observed import Observed
from kaito.api.resources import WORKSPACE, Object
from kaito.runtime.keys import Key
from kaito.runtime.recording import codec
from tests.recorded import Kept
from tests.recorders import Recorder, recorder
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW, config_map
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.tuning import scenes as tuning
from tests.unit.functions.workspace.scenes import machine, workspace


def named(name: str) -> Object:
    obj = workspace()
    return {**obj, "metadata": {**obj["metadata"], "name": name, "uid": f"u-{name}"}}


@pytest.fixture(scope="module")
def history() -> Kept:
    """Of two functions, and three Workspaces."""
    sink = Kept()
    first, second = Told("kaito-workspace", sink), Told("kaito-tuning", sink)
    for name in ("phi", "falcon"):
        obj, key = named(name), Key(WORKSPACE, "default", name)
        first.event(obj, Observed(obj), "add", key)
        first.event(machine(), Observed(obj, (machine(),)), key=key)
    second.event(tuning.workspace(), TuningObserved(tuning.workspace()))
    first.close()
    second.close()
    return sink


@pytest.fixture
def it(history: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(module, "_PAGE", 3)
    with recorder(tmp_path) as it:
        it.put(history.kept, NOW)
        yield it


def test_everything_is_what_a_file_would_have(it: Recorder, history: Kept) -> None:
    assert it.lines() == history.kept


@pytest.mark.parametrize(
    ("part", "decisions"),
    [
        (lambda _: Part(), 5),
        (lambda _: Part(function="tuning"), 1),
        (lambda _: Part(object="default/falcon"), 2),
        (lambda _: Part(object="machine/ws802fbe327"), 2),
        (lambda _: Part(object="default/nobody"), 0),
        (lambda whens: Part(since=whens[-1]), 1),
        (lambda whens: Part(until=whens[0]), 1),
        (lambda whens: Part(until=whens[0], function="tuning"), 0),
        (lambda _: Part(after=1), 5),
    ],
)
def test_each_part_is_decided_again(
    it: Recorder, history: Kept, part: Callable[[list[str]], Part], decisions: int
) -> None:
    found = it.recording(part(sorted(decision["time"] for decision in history.of("decision"))))
    with Replay(found) as replay:
        again = [replay.decide(record) for record in found.decisions.values()]
    assert [each.trouble for each in again] == [""] * decisions
    assert all(each.same for each in again)


ONE, OTHER = config_map("one"), config_map("other")
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Recorder]:
    """A sweep that looks at two Workspaces, an event of a Machine that hints at one of them, and a refused write."""
    with recorder(tmp_path) as it:
        it.put(
            [
                told.installation(),
                told.delivery("sweep", "Ping//kaito-sweep"),
                told.kept_object(ONE),
                told.decision("phi-1", ONE, because=("sweep",)),
                told.write("w-1", "phi-1"),
                told.kept_object(OTHER),
                told.decision("falcon-1", OTHER, because=("sweep",), about="workspace/default/falcon"),
                told.answer("a-sweep", "sweep"),
                told.delivery("machine", "Machine//ws1", when=LATER),
                told.delivery("nothing", "Node//n1", when=LATER),
                told.answer("a-nothing", "nothing", when=LATER),
            ],
            NOW,
        )
        it.put(
            [
                told.decision("phi-2", ONE, because=("machine",), when=LATER),
                told.write("w-2", "phi-2", when=LATER),
                told.decision("phi-3", ONE, because=("phi-2",), when=LATER),
                told.answer("a-machine", "machine", when=LATER),
                told.said("lost", "lost", {"records": 2}, when=LATER),
            ],
            NOW,
        )
        yield it


IT, O1, O2 = "i", codec.digest(ONE), codec.digest(OTHER)


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (Part(object="default/falcon"), {IT, O2, "sweep", "a-sweep", "falcon-1"}),
        (
            Part(object="Default/PHI"),
            {IT, O1, "sweep", "a-sweep", "phi-1", "w-1", "machine", "a-machine", "phi-2", "w-2", "phi-3"},
        ),
        (Part(object="machine/ws1"), {IT, O1, "machine", "a-machine", "phi-2", "w-2"}),
        (Part(object="node/n1"), {"nothing", "a-nothing"}),
        (Part(object="%"), set()),
        (Part(until=NOW), {IT, O1, O2, "sweep", "a-sweep", "phi-1", "w-1", "falcon-1"}),
        (
            Part(since=LATER),
            {IT, O1, "machine", "a-machine", "nothing", "a-nothing", "phi-2", "w-2", "phi-3", "lost"},
        ),
        (Part(function="tuning"), set()),
        (Part(function="workspace", since=LATER, until=NOW), set()),
        # The second put, and what it needs: the delivery of the first that was decided on only now.
        (Part(after=11), {IT, O1, "machine", "a-machine", "phi-2", "w-2", "phi-3", "lost"}),
        # An answer alone is of its delivery, which was asked for.
        (Part(after=14, object="machine/ws1"), {IT, O1, "machine", "a-machine", "phi-2", "w-2"}),
        (Part(after=14, object="default/phi"), {IT, O1, "machine", "a-machine", "phi-2", "w-2", "phi-3"}),
        (Part(after=14, object="node/n1"), set()),
        # A write alone is of its decision, which was made for the delivery that was asked for.
        (Part(after=12, object="machine/ws1"), {IT, O1, "machine", "a-machine", "phi-2", "w-2"}),
        (Part(after=16), set()),
    ],
)
def test_what_belongs_together_comes_together(small: Recorder, part: Part, wanted: set[str]) -> None:
    found = [json.loads(text)["id"] for text in small.lines(part)]
    assert len(found) == len(set(found)), "each once"
    assert set(found) == wanted


def test_the_cursor_is_where_the_next_answer_begins(small: Recorder) -> None:
    first = read(small.engine, Part())
    small.put([told.delivery("more")], NOW)
    assert first.cursor == 16
    assert b"more" not in b"".join(first.lines), "what comes while it is read is for the next time"
    second = read(small.engine, Part(after=first.cursor))
    assert (second.cursor, [json.loads(text)["id"] for text in second.lines]) == (17, ["more"])
    assert read(small.engine, Part(after=99)).cursor == 99


@pytest.mark.parametrize("part", [Part(), Part(function="workspace"), Part(after=1)])
def test_what_goes_while_it_is_read_goes_with_all_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    with recorder(tmp_path, retention=100) as it:
        for number in range(10):
            obj, because = config_map(f"o{number}"), (f"d{number}",)
            heard = told.delivery(f"d{number}")
            decided = told.decision(f"c{number}", obj, because=because)
            it.put([told.installation(), heard, told.kept_object(obj), decided], NOW + timedelta(seconds=number))
        lines = read(it.engine, part).lines
        before = [next(lines) for _ in range(5)]
        it.put([], NOW + timedelta(seconds=105))
        found = Recording.of(record for _, record in records_in([*before, *lines], "the answer"))
        assert found.decisions
        for decision in found.decisions.values():
            assert codec.digest(config_map(f"o{decision.name[1:]}")) in found.objects
            assert decision.process in found.installations
