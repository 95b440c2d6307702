"""Recordings of a recorder: looked at, decided again, taken out and put in, by its URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from functions.workspace.observed import Observed
from kaito.api.resources import WORKSPACE, Object
from kaito.cli.main import app
from kaito.cli.recordings import Wanted, followed, row, row_json
from kaito.runtime.keys import Key
from kaito.runtime.recording import sinks
from tests.receiver import Receiver
from tests.recorded import Kept
from tests.recorders import recorder, served
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.workspace.scenes import machine, workspace


def named(name: str) -> Object:
    obj = workspace()
    return {**obj, "metadata": {**obj["metadata"], "name": name, "uid": f"u-{name}"}}


@pytest.fixture(scope="module")
def history() -> Kept:
    sink = Kept()
    function = Told("kaito-workspace", sink)
    for name in ("phi", "falcon"):
        obj, key = named(name), Key(WORKSPACE, "default", name)
        function.event(obj, Observed(obj), "add", key)
        function.event(machine(), Observed(obj, (machine(),)), key=key)
    function.close()
    return sink


@pytest.fixture
def file(history: Kept, tmp_path: Path) -> Path:
    return history.write(tmp_path / "recording.ndjson")


@pytest.fixture
def url(history: Kept, tmp_path: Path) -> Iterator[str]:
    """Of a recorder that has the history."""
    with recorder(tmp_path) as it, served(it) as url:
        it.put(history.kept, datetime.now(UTC))
        yield url


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with recorder(tmp_path_factory.mktemp("empty")) as it, served(it) as url:
        yield url


def kaito(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    "words",
    [
        ("events", "-r"),
        ("events", "--object", "default/falcon", "-r"),
        ("events", "--function", "tuning", "-r"),
        ("events", "--since", "2099-01-01", "-r"),
        ("events", "--output", "json", "--until", "2099-01-01", "-r"),
        ("events", "show", "event-02", "-r"),
        ("replay",),
        ("replay", "--object", "default/phi"),
        ("replay", "--event", "event-03"),
    ],
)
def test_a_recorder_says_what_a_file_says(url: str, file: Path, words: tuple[str, ...]) -> None:
    of_file, of_recorder = kaito(*words, file), kaito(*words, f"{url}/")
    assert of_file.exit_code == of_recorder.exit_code == 0
    assert of_recorder.stdout == of_file.stdout


@pytest.mark.parametrize(
    ("words", "decisions"),
    [((), 4), (("--object", "default/falcon"), 2), (("--function", "tuning"), 0), (("--until", "2020-01-01"), 0)],
)
def test_what_is_exported_is_a_recording(
    url: str, file: Path, tmp_path: Path, words: tuple[str, ...], decisions: int
) -> None:
    whole = file.read_bytes().splitlines(keepends=True)
    for number, source in enumerate((url, file)):
        out = tmp_path / f"{number}.ndjson"
        assert kaito("events", "export", "-r", source, "-o", out, *words).exit_code == 0
        again = kaito("replay", out)
        assert again.stdout == f"{decisions} decisions, the same today\n"
        lines = out.read_bytes().splitlines(keepends=True)
        assert set(lines) <= set(whole), "to the byte"
        assert lines == whole or words
        assert kaito("events", "export", "-r", source, *words).stdout_bytes == out.read_bytes()
    assert (tmp_path / "0.ndjson").read_bytes() == (tmp_path / "1.ndjson").read_bytes()


def test_a_place_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    found = kaito("events", "export", "-r", file, "-o", tmp_path / "no" / "where")
    assert str(found.exception) == f"{tmp_path}/no/where cannot be written: No such file or directory"


def test_what_is_imported_is_there_once_however_often(empty: str, file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    (tmp_path / "half.ndjson").write_bytes(b"".join(whole.splitlines(keepends=True)[:7]))
    assert kaito("events", "import", tmp_path / "half.ndjson", "--to", empty).stdout == "7 records are kept\n"
    count = len(whole.splitlines())
    for _ in range(2):
        assert kaito("events", "import", file, "--to", f"{empty}/").stdout == f"{count} records are kept\n"
    assert kaito("events", "export", "-r", empty).stdout_bytes == whole


def test_what_a_recording_has_lost_is_left_out(empty: str, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lost = next(line for line in lines if json.loads(line)["type"].endswith(".object"))
    file.write_bytes(b"".join(line for line in lines if line != lost))
    found = kaito("events", "import", file, "--to", empty)
    *_, left_out = found.stdout.splitlines()
    assert left_out == "2 decisions are left out: their recording has lost what they were made of"
    assert kaito("replay", empty).stdout == "2 decisions, the same today\n"


def test_where_there_is_no_recorder_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_WAIT", 0.001)
    with Receiver(lambda *_: ("I am another", 404)) as other:
        base = other.url.rstrip("/")
        found = kaito("events", "-r", base)
        assert str(found.exception).startswith(f"{base} does not answer as a recorder: 404 ")
        sent = kaito("events", "import", file, "--to", base)
        assert str(sent.exception) == (
            f"the recorder at {base}/ does not take them: 404 I am another; "
            "import it again, and it goes on where it was"
        )
    found = kaito("replay", base)
    assert str(found.exception).startswith(f"{base} does not answer: ")
    assert str(kaito("replay", "http://[").exception).startswith("http://[ does not answer: ")


def test_what_comes_is_followed(url: str, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kaito.cli.recordings._PAUSE", 0.01)
    more = [told.delivery("d"), told.answer("a", "d"), told.said("lost", "l", {"records": 3})]
    for source in (url, str(file)):
        lines = followed([source], tmp_path, Wanted(), row)
        before = kaito("events", "-r", source).stdout.splitlines()
        assert [next(lines) for _ in before] == before
        if source == url:
            sinks.HttpSink(f"{url}/").put(more)
        else:
            with file.open("ab") as out:
                out.writelines(more)
        assert next(lines).endswith("update Workspace/default/phi: nothing new")
        assert next(lines) == "3 records were lost: there was no room for them"
    falcons = followed([url], tmp_path, Wanted(object="default/falcon"), row_json)
    assert [json.loads(next(falcons))["objects"] for _ in range(2)] == [["workspace/default/falcon"]] * 2
