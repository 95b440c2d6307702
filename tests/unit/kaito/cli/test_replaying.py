"""``kaito events`` and ``kaito replay``, without a platform: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from functions.workspace.observed import Observed
from kaito.cli.main import app
from tests.receiver import Receiver
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.workspace.scenes import machine, workspace


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    told.event(workspace(), Observed(workspace()), "add")
    told.event(machine(), Observed(workspace(), (machine(),)))
    told.event(machine(), None)
    told.close()
    return sink.write(tmp_path / "recording.ndjson")


def kaito(*words: object, given: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=given)


def test_events_are_lines(recording: Path) -> None:
    lines = kaito("events", "-r", recording).stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("workspace       10 ms  add Workspace/default/phi: 2 writes")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--object", "workspace/default/phi"), 2),
        (("--object", "phi"), 2),
        (("--object", "machine/ws802fbe327"), 2),
        (("--function", "workspace"), 3),
        (("--function", "tuning"), 0),
        (("--since", "2020-01-01T00:00:00Z"), 3),
        (("--since", "2099-01-01"), 0),
        (("--until", "2020-01-01"), 0),
        (("--failed",), 0),
    ],
)
def test_events_are_chosen(recording: Path, words: tuple[str, ...], count: int) -> None:
    found = kaito("events", "-r", recording, *words, "-o", "json")
    assert len(json.loads(found.stdout)) == count


def test_decisions_are_the_same_today(recording: Path) -> None:
    found = kaito("replay", recording)
    assert (found.exit_code, found.stdout) == (0, "2 decisions, the same today\n")
    one = kaito("replay", recording, "--event", "event-02")
    assert (one.exit_code, one.stdout) == (0, "1 decision, the same today\n")
    none = kaito("replay", recording, "--object", "default/another")
    assert (none.exit_code, none.stdout) == (0, "0 decisions, the same today\n")


def test_another_decision_is_shown_and_is_an_exit_code(recording: Path) -> None:
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    first = next(line for line in lines if line["type"].endswith(".decision"))
    first["data"]["plan"]["settled"] = True
    recording.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = kaito("replay", recording)
    assert found.exit_code == 1
    title, *_, verdict = found.stdout.splitlines()
    assert "kaito-workspace workspace/default/phi" in title
    assert "  -settled: true" in found.stdout
    assert "  +settled: false" in found.stdout
    assert verdict == "2 decisions, 1 of them otherwise today"


def test_decisions_are_objects_for_a_program(recording: Path) -> None:
    every = json.loads(kaito("replay", recording, "-o", "json").stdout)
    assert [(it["subject"], it["same"], it["difference"]) for it in every] == [("workspace/default/phi", True, [])] * 2
    recording.write_text(recording.read_text().replace('"settled":false', '"settled":true', 1))
    found = kaito("replay", recording, "-o", "json")
    other = next(it for it in json.loads(found.stdout) if not it["same"])
    assert (found.exit_code, other["function"], other["trouble"]) == (1, "kaito-workspace", "")
    assert "-settled: true" in other["difference"]
    refused = kaito("replay", recording, "--step", "-o", "json")
    assert (refused.exit_code, "JSON is of decisions" in refused.output) == (2, True)


def test_an_event_is_shown_and_for_a_program_too(recording: Path) -> None:
    assert "decided: " in kaito("events", "show", "event-01", "-r", recording).stdout
    found = json.loads(kaito("events", "show", "event-01", "-r", recording, "-o", "json").stdout)
    (decision,) = found["decisions"]
    assert (found["event"]["id"], decision["subject"]) == ("event-01", "workspace/default/phi")
    assert decision["observed"]["workspace"]["metadata"]["name"] == "phi"
    assert len(decision["writes"]) == 2
    assert all(it["effect"] and it["error"] is None for it in decision["writes"])


def test_a_walk_goes_on_and_back_and_ends(recording: Path) -> None:
    found = kaito("replay", recording, "--step", given="\nb\n\n\n\n")
    heads = [line for line in found.stdout.splitlines() if "---" in line]
    assert [head.split("--- ")[-1].partition(" of")[0] for head in heads] == ["1", "2", "1", "2", "3"]
    assert found.exit_code == 0
    assert kaito("replay", recording, "--step", given="q\n").stdout.count("---") == 2
    assert kaito("replay", recording, "--step", given="").stdout.count("---") == 2, "nobody answers"


def test_events_are_sent_again(recording: Path) -> None:
    with Receiver(lambda _, count: ("", 202 if count < 3 else 500)) as receiver:
        whole = kaito("replay", recording, "--live", receiver.url)
        assert whole.exit_code == 0
        assert [it.headers["ce-id"] for it in receiver.wait(3)] == ["event-01", "event-02", "event-03"]
        one = kaito("replay", recording, "--live", receiver.url, "--event", "event-02")
        assert receiver.wait(4)[-1].headers["ce-id"] == "event-02"
    assert one.exit_code == 1
    assert one.stdout.startswith("500 after ")


def test_events_of_others_are_hints_and_can_be_sent(tmp_path: Path) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/a",
        "type": "x.add",
        "apiversion": "kaito.sh/v1",
        "name": "phi",
    }
    (tmp_path / "events.json").write_text(json.dumps([{**event, "kind": "Workspace", "namespace": "ns"}, event]))
    found = kaito("replay", tmp_path / "events.json")
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "x.add 1",
        "  kaito-workspace looks at workspace/ns/phi",
        "  kaito-tuning looks at workspace/ns/phi",
        "x.add 1",
        "  nobody looks at anything",
    ]
    first, second = json.loads(kaito("replay", tmp_path / "events.json", "-o", "json").stdout)
    assert (first["event"]["id"], sorted(first["looks"])) == ("1", ["kaito-tuning", "kaito-workspace"])
    assert second["looks"] == {}
    with Receiver() as receiver:
        assert kaito("replay", tmp_path / "events.json", "--live", receiver.url).exit_code == 0
        assert len(receiver.wait(2)) == 2


def test_faults_that_are_none_are_named(recording: Path) -> None:
    found = kaito("replay", recording, "--fuzz", "drop,flood")
    assert (
        str(found.exception)
        == "'flood' is not a valid Fault: the faults are drop, duplicate, reorder, crash, with commas between"
    )
    nothing = kaito("replay", recording, "--fuzz", "drop", "--object", "another")
    assert str(nothing.exception) == "nobody applies a Workspace in this recording: there is no history to be run"
