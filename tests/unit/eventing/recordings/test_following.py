"""A recording while it grows: each line once, when it is known what came of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from eventing.recordings.following import Following
from eventing.recordings.part import Part
from eventing.recordings.recording import RecordingError, records_in
from eventing.recordings.sources import Files
from kaito.runtime.recording.sinks import FileSink
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW, config_map


def outcomes(following: Following, now: float, *lines: bytes) -> list[tuple[str, str]]:
    found = [record for _, record in records_in(lines, "here")]
    return [(it.record.name, it.outcome) for it in following.take(found, now)]


ONE = config_map("one")
EFFECTS = {"plan": {"$class": "Plan", "effects": [{}], "settled": True, "requeue_after": None}}


def looking(name: str) -> bytes:
    """A decision with one effect."""
    data = json.loads(told.decision(name))["data"]
    return told.said("decision", name, {**data, **EFFECTS}, subject="workspace/default/phi")


def test_a_delivery_is_told_when_it_is_answered() -> None:
    following = Following()
    assert outcomes(following, 0, told.installation(), told.kept_object(ONE), told.delivery("d")) == []
    assert outcomes(following, 1, told.decision("c", ONE, because=("d",)), told.write("w", "c")) == []
    assert outcomes(following, 2, told.answer("a", "d"), told.delivery("d")) == [("d", "1 write")]
    assert outcomes(following, 3, told.answer("a", "d")) == []


def test_a_look_of_ones_own_is_told_when_all_of_it_is_written() -> None:
    following = Following()
    assert outcomes(following, 0, told.decision("nothing")) == [("nothing", "as it should be")]
    assert outcomes(following, 1, looking("c")) == []
    assert outcomes(following, 2, told.write("w", "c")) == [("c", "1 write")]


def test_what_never_comes_is_not_waited_for_for_ever() -> None:
    following = Following()
    assert outcomes(following, 0, told.delivery("d"), looking("c")) == []
    assert outcomes(following, 9) == []
    assert outcomes(following, 11) == [("c", "as it should be")], "another one's status took its place"
    assert outcomes(following, 59) == []
    assert outcomes(following, 61) == [("d", "never answered")]
    assert outcomes(following, 700) == []


def test_what_was_lost_is_counted_once() -> None:
    following = Following()
    lost = told.said("lost", "l", {"records": 3})
    for now in (0, 1):
        assert outcomes(following, now, lost) == []
    assert following.lost == 3


def test_it_holds_no_more_than_may_be_needed() -> None:
    following = Following()
    for now in range(0, 3600, 60):
        when = NOW + timedelta(seconds=now)
        name = f"d{now}"
        told_of = outcomes(following, now, told.delivery(name, when=when), told.answer(f"a{now}", name, when=when))
        assert told_of == [(name, "nothing new")]
    assert len(following._held) == 20
    assert len(following._told) == 10


def names(files: Files) -> list[str]:
    return [record.name for record in files.new(Part())]


def test_files_are_read_as_they_grow_and_get_other_names(tmp_path: Path) -> None:
    files = Files([tmp_path])
    with pytest.raises(RecordingError, match="has no"):
        names(files)
    sink = FileSink(tmp_path / "a.ndjson", most=4 * len(told.delivery("d1")))
    sink.put([told.delivery("d1")])
    assert names(files) == ["d1"]
    assert names(files) == []
    assert not sink.put([told.delivery("d2")]), "that file is full, and is another one's .1 from now on"
    sink.put([told.delivery("d3")])
    (tmp_path / "b.ndjson").write_bytes(told.delivery("e1") + told.delivery("e2")[:-1])
    assert sorted(names(files)) == ["d2", "d3", "e1"]
    with (tmp_path / "b.ndjson").open("ab") as file:
        file.write(b"\n")
    assert names(files) == ["e2"]
    sink.close()


def test_a_new_file_is_read_from_its_beginning_whatever_number_it_gets(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(told.delivery("d1") + told.delivery("d2"))
    files = Files([tmp_path])
    assert names(files) == ["d1", "d2"]
    # In its place, under the same inode, as file systems give away what has become free.
    file.write_bytes(told.delivery("e1") + told.delivery("e2") + told.delivery("e3"))
    assert names(files) == ["e1", "e2", "e3"]
    with file.open("ab") as more:
        more.write(told.delivery("e4"))
    assert names(files) == ["e4"]


def test_what_cannot_be_followed_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing\.ndjson cannot be read: No such file or directory"):
        names(Files([tmp_path / "nothing.ndjson"]))
