"""CloudEvents as their tools write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventing.recordings.plain_events import events_of, hints, read_plain
from eventing.recordings.recording import RecordingError
from kaito.runtime.events import Event
from tests.unit.eventing.recordings.test_recording import told

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/apis",
    "type": "dev.knative.apiserver.resource.add",
    "apiversion": "kaito.sh/v1alpha1",
    "kind": "Workspace",
    "namespace": "default",
    "name": "phi",
    "datacontenttype": "application/json",
    "data": {"kind": "Workspace", "inference": {}},
}
BINARY = (
    "ce-specversion: 1.0\nce-id: {id}\nce-source: /apis\nce-type: t\nContent-Type: application/json\n"
    "Content-Length: {length}\n\n{body}"
)


def read(tmp_path: Path, content: str) -> tuple[Event, ...]:
    (tmp_path / "events").write_text(content)
    return read_plain(tmp_path / "events")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(EVENT),
        json.dumps(EVENT, indent=2) + "\n\n" + json.dumps({**EVENT, "id": "2"}),
        json.dumps(EVENT) + "\n" + json.dumps({**EVENT, "id": "2"}) + "\n",
        json.dumps([EVENT, {**EVENT, "id": "2"}]),
    ],
    ids=["one", "one after the other", "a line each", "a list"],
)
def test_structured_ones(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, content)
    assert [it.id for it in found] == ["1", "2"][: len(found)]
    assert found[0].data == EVENT["data"]
    assert found[0].attributes["kind"] == "Workspace"


@pytest.mark.parametrize("head", ["", "POST / HTTP/1.1\nHost: example.com\n"])
def test_binary_ones(tmp_path: Path, head: str) -> None:
    bodies = ['{"a": "first"}', '{"a": "second\\n\\nPOST / HTTP/1.1"}']
    messages = [head + BINARY.format(id=number, length=len(body), body=body) for number, body in enumerate(bodies, 1)]
    for content in ("\n\n".join(messages), "".join(messages), "\r\n".join("\n\n".join(messages).split("\n"))):
        found = read(tmp_path, content)
        assert [(it.id, it.data["a"]) for it in found] == [("1", "first"), ("2", "second\n\nPOST / HTTP/1.1")]


def test_a_binary_one_without_a_length_has_all_that_is_left(tmp_path: Path) -> None:
    (found,) = read(tmp_path, BINARY.format(id=1, length=0, body='{"a": 1}').replace("Content-Length: 0\n", ""))
    assert found.data == {"a": 1}


def test_a_recording_has_none(tmp_path: Path) -> None:
    assert read_plain(told("kaito-workspace").write(tmp_path / "a.ndjson")) == ()
    assert read_plain(tmp_path) == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}', "holds no CloudEvents: not a CloudEvent: no id, source, type, specversion"),
        ("nonsense", "holds no CloudEvents: not a CloudEvent"),
        ('{"specversion"', "holds no CloudEvents: "),
        ("[1]", "an event is an object"),
    ],
)
def test_what_is_none_is_said(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(RecordingError, match=said):
        read(tmp_path, content)
    with pytest.raises(RecordingError, match="nothing cannot be read: No such file"):
        read_plain(tmp_path / "nothing")


def test_the_events_of_a_recording_are_those_that_were_brought_each_once() -> None:
    recording = told("kaito-workspace", "kaito-workspace").recording
    (found,) = events_of(recording.deliveries.values())
    assert found.id == "event-01"


def test_an_event_hints_at_objects_of_functions(tmp_path: Path) -> None:
    (found,) = read(tmp_path, json.dumps(EVENT))
    assert hints(found) == {"kaito-workspace": ["workspace/default/phi"]}
    (node,) = read(tmp_path, json.dumps({**EVENT, "apiversion": "v1", "kind": "Node", "data": {"metadata": {}}}))
    assert hints(node) == {}
