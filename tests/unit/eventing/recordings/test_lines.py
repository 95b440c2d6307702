"""A line an event, and the story of one."""

from __future__ import annotations

import pytest

from eventing.recordings.lines import find, lines
from eventing.recordings.recording import Recording, RecordingError
from eventing.recordings.story import story
from functions.workspace.observed import Observed
from kaito.runtime.kube import Unavailable
from kaito.runtime.plan import Plan
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import KEY, NOW, Told
from tests.unit.functions.workspace.scenes import machine, workspace


def history() -> Recording:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    told.event(workspace(), Observed(workspace()), "add")
    told.event(machine(), Observed(workspace(), (machine(),)))
    told.event(machine(), None)
    told.event(machine(), None, hints=0)
    recorder = told._recorder
    unanswered = recorder.delivery({"content-type": "text/plain"}, b"what")
    refused = recorder.delivery({}, b"")
    recorder.answer(refused, 400, "not a CloudEvent", 0, 0.001)
    timer = recorder.decision(KEY, ["timer"], Observed(None), NOW, Plan(), None)
    failing = recorder.decision(KEY, [unanswered], Observed(None), NOW, Plan(), None)
    recorder.write(failing, 0, Unavailable(503, "", "away"), 0.5)
    told.close()
    assert timer < failing
    return sink.recording


def test_a_line_says_what_happened_and_what_came_of_it() -> None:
    found = [(it.what, it.outcome, it.failed) for it in lines(history())]
    assert found == [
        ("add Workspace/default/phi", "2 writes", False),
        ("update Machine/ws802fbe327", "1 write", False),
        ("update Machine/ws802fbe327", "nothing new", False),
        ("update Machine/ws802fbe327", "not its concern", False),
        ("(no CloudEvent)", "never answered", True),
        ("(no CloudEvent)", "400: not a CloudEvent", True),
        ("(timer) workspace/default/phi", "as it should be", False),
    ]


def test_an_event_is_found_by_its_id_and_by_what_came_of_it() -> None:
    recording = history()
    first, second, *_ = lines(recording)
    assert find(recording, "event-01") == first
    assert find(recording, second.record.name) == second
    assert find(recording, second.decisions[0].name) == second
    with pytest.raises(RecordingError, match="there is no event event-99 in the recording"):
        find(recording, "event-99")


def test_of_several_who_were_told_the_one_is_found_who_decided() -> None:
    sink = Kept()
    for function, observed, hints in (("kaito-tuning", None, 0), ("kaito-workspace", Observed(workspace()), 1)):
        told = Told(function, sink)
        told.event(workspace(), observed, "add", hints=hints)
        told.close()
    assert find(sink.recording, "event-01").record.function == "kaito-workspace"


def test_the_story_of_the_first_event_has_all_that_was_seen_and_done() -> None:
    recording = history()
    text = story(find(recording, "event-01"), recording)
    assert "kaito-workspace: add Workspace/default/phi" in text
    assert "event     dev.knative.apiserver.resource.add, id event-01" in text
    assert "answered  202 after 10 ms" in text
    assert "seen, for the first time in this recording:" in text
    assert "name: phi-3-mini-4k-instruct" in text
    assert "decided: apply Machine" in text
    assert "written in 2 ms" in text
    assert "+spec:" in text, "what the Machine is to be"
    assert "resourceVersion" not in text


def test_the_story_of_the_next_has_what_had_changed() -> None:
    recording = history()
    text = story(find(recording, "event-02"), recording)
    assert "seen, against the last time:" in text
    assert "+claims:" in text
    assert "last looked at" in text
    assert "phi-3-mini-4k-instruct" not in text, "that had not changed"


def test_what_was_announced_and_what_could_not_be() -> None:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    told.event(workspace("phi-33"), Observed(workspace("phi-33")))
    told.close()
    recording = sink.recording
    ((name, writes),) = recording.writes.items()
    announcement = "decided: announce sh.kaito.workspace.failed: Workspace/default/phi"
    assert f"{announcement}\n    sent in 2 ms" in story(find(recording, name), recording)
    writes[0].data["error"] = {"type": "Unsent", "message": "no Broker"}
    assert f"{announcement}\n    failed after 2 ms: Unsent: no Broker" in story(find(recording, name), recording)
    assert [(it.outcome, it.failed) for it in lines(recording)] == [("Unsent: no Broker", True)]
    del writes[0]
    assert f"{announcement}\n    not sent: there is no" in story(find(recording, name), recording)


def test_what_said_nothing_new_has_a_short_story() -> None:
    recording = history()
    _, _, known, other, *_ = (story(it, recording) for it in lines(recording))
    assert known.endswith("Nothing was looked at: what it says is known.")
    assert other.endswith("Nothing was looked at: it is not this function's concern.")


def test_a_write_that_failed_and_one_that_never_was() -> None:
    recording = history()
    *_, line = (it for it in lines(recording) if it.what == "(no CloudEvent)" and it.decisions)
    assert line.outcome == "never answered"
    assert "decided: nothing is to be done" in story(line, recording)
