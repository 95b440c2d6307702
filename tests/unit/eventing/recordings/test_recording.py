"""Recordings as files: whole, cut short, and none."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventing.recordings.recording import RecordingError, read
from functions.workspace.observed import Observed
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.workspace.scenes import workspace


def told(*processes: str) -> Kept:
    sink = Kept()
    for process in processes:
        made = Told(process, sink)
        made.event(workspace(), Observed(workspace()), "add")
        made.close()
    return sink


def test_what_was_kept_is_read_in_order(tmp_path: Path) -> None:
    told("kaito-workspace").write(tmp_path / "b.ndjson")
    told("kaito-workspace").write(tmp_path / "a.ndjson")
    (tmp_path / "notes.txt").write_text("not ours")
    both = read([tmp_path])
    assert len(both.deliveries) == len(both.decisions) == len(both.answers) == len(both.installations) == 2
    whens = [it.when for it in both.deliveries.values()]
    assert whens == sorted(whens)
    (decision, *_) = both.decisions.values()
    assert both.object(decision.data["observed"]["workspace"]["$object"])["metadata"]["name"] == "phi"
    assert len(both.writes[decision.name]) == len(decision.data["plan"]["effects"]) > 0


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    file = told("kaito-workspace").write(tmp_path / "a.ndjson")
    whole = read([file])
    file.write_bytes(file.read_bytes()[:-20])
    assert len(read([file]).deliveries) == len(whole.deliveries)
    assert not read([file]).answers


def test_other_events_are_none_of_it(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"specversion": "1.0", "id": "1", "source": "s", "type": "t"}\n')
    assert not read([file]).deliveries


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense\n", "a.ndjson, line 1: "),
        ('{"a": 1}\n', "line 1: no CloudEvent"),
        (None, "a.ndjson cannot be read: No such"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "a.ndjson").write_text(content)
    with pytest.raises(RecordingError, match=said):
        read([tmp_path / "a.ndjson"])


def test_an_empty_directory_has_none(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"has no \*.ndjson: name a recording"):
        read([tmp_path])


def test_what_it_has_lost_is_said() -> None:
    recording = told("kaito-workspace").recording
    with pytest.raises(RecordingError, match="object 1 is not in the recording"):
        recording.object("1")
    with pytest.raises(RecordingError, match="what x/1 was started with is not in the recording"):
        recording.installation("x/1")
