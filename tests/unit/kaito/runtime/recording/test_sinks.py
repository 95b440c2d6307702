"""Where records go, and what is said where they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaito.runtime.recording import sinks
from kaito.runtime.recording.sinks import FileSink, HttpSink, recorder, sink
from tests.receiver import Receiver


def event(name: str, **data: str) -> bytes:
    return json.dumps({"specversion": "1.0", "id": name, "source": "s", "type": "t", "data": data}).encode() + b"\n"


def ids(file: Path) -> list[str]:
    return [json.loads(it)["id"] for it in file.read_bytes().splitlines()]


def test_a_file_has_an_event_a_line(tmp_path: Path) -> None:
    where = FileSink(tmp_path / "deep" / "a.ndjson", 1 << 20)
    assert where.put([event("1", a="\u00e9\n"), event("2")])
    where.close()
    first, second = (tmp_path / "deep" / "a.ndjson").read_bytes().splitlines()
    assert json.loads(first)["data"] == {"a": "\u00e9\n"}
    assert json.loads(second)["id"] == "2"


def test_a_file_is_never_larger_than_it_may_be_and_says_when_another_begins(tmp_path: Path) -> None:
    most = 40 * len(event("00"))
    where = FileSink(tmp_path / "a.ndjson", most)
    kept = [where.put([event(f"{number:02}")]) for number in range(50)]
    where.close()
    assert kept.count(False) == 2
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= most
    here = ids(tmp_path / "a.1.ndjson") + ids(tmp_path / "a.ndjson")
    assert here == [f"{number:02}" for number in range(20, 50)], "the oldest went, and no other"


def test_the_recorder_gets_batches() -> None:
    with Receiver() as receiver:
        where = HttpSink(receiver.url)
        assert where.put([event("1"), event("2", a="b")])
        where.close()
        (received,) = receiver.wait(1)
    assert received.headers["content-type"] == "application/cloudevents-batch+json"
    assert [it["id"] for it in json.loads(received.body)] == ["1", "2"]
    assert json.loads(received.body)[1]["data"] == {"a": "b"}


def test_a_recorder_that_is_away_for_a_while_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_WAIT", 0.001)
    with Receiver(lambda _, count: ("", 503 if count < 3 else 202)) as receiver:
        where = HttpSink(receiver.url)
        assert where.put([event("1")])
        assert len(receiver.wait(4)) == 4


def test_what_is_much_is_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_BATCH_BYTES", 2 * len(event("1")))
    large = event("3", a="x" * 1000)
    with Receiver() as receiver:
        where = HttpSink(receiver.url)
        assert where.put([event("1"), event("2"), large, event("4"), event("5"), event("6")])
        assert where.put([])
        batches = [[it["id"] for it in json.loads(received.body)] for received in receiver.wait(4)]
    assert batches == [["1", "2"], ["3"], ["4", "5"], ["6"]]


@pytest.mark.parametrize(
    ("status", "times"), [(400, 1), (413, 1), (424, 1), (404, 6), (408, 6), (429, 6), (500, 6), (503, 6)]
)
def test_what_a_recorder_refuses_it_is_not_sent_again(monkeypatch: pytest.MonkeyPatch, status: int, times: int) -> None:
    monkeypatch.setattr(sinks, "_WAIT", 0.001)
    with Receiver(lambda *_: ("why\n", status)) as receiver:
        where = HttpSink(receiver.url)
        with pytest.raises(OSError, match=f"does not take them: {status} why$"):
            where.put([event("1")])
        assert len(receiver.received) == times


def test_a_recorder_that_stays_away_is_an_error_that_says_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_WAIT", 0.001)
    with Receiver(lambda *_: ("the disk is full", 507)) as receiver:
        where = HttpSink(receiver.url)
        with pytest.raises(OSError, match="507 the disk is full"):
            where.put([event("1")])


def test_the_environment_says_where(tmp_path: Path) -> None:
    assert sink({}, "f") is None
    assert recorder("f", lambda: pytest.fail("nobody asks for it"), {}) is None
    assert isinstance(sink({"KAITO_RECORDING": "http://recorder.kaito-system/"}, "f"), HttpSink)
    where = sink({"KAITO_RECORDING": (tmp_path / "a b").as_uri()}, "f")
    assert isinstance(where, FileSink)
    where.close()
    (file,) = (tmp_path / "a b").iterdir()
    assert file.name.startswith("f-")
    assert file.suffix == ".ndjson"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"KAITO_RECORDING": "/tmp/x"}, "KAITO_RECORDING is '/tmp/x'; it must be file:///DIRECTORY"),
        ({"KAITO_RECORDING": "file://host/x"}, "it must be file:///DIRECTORY"),
        ({"KAITO_RECORDING": "file:///x", "KAITO_RECORDING_MEGABYTES": "0"}, "a number of megabytes, from 1 on"),
    ],
)
def test_what_it_cannot_say(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sink(environment, "f")
