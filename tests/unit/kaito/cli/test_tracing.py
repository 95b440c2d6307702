"""``kaito trace``: the tree, OTLP's JSON, and what a collector gets."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eventing.recordings.recording import RecordingError
from eventing.traces.span import Span, from_otlp
from kaito.cli.main import app
from kaito.cli.tree import rows
from tests.collector import Collector
from tests.recorders import recorder, served
from tests.unit.eventing.traces.test_trace import FOLDER, NAME, made

GIVEN = ("-r", str(FOLDER / "functions.ndjson"), "--traces", str(FOLDER), "--dir", "/nowhere")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["trace", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_tree_with_times() -> None:
    head, root, *lines = run(NAME, *GIVEN).splitlines()
    spans = made()
    assert head == f"trace {spans[0].trace}"
    assert root == f"    0.000   25.42 s  workspace default/{NAME}"
    assert len(lines) == len(spans) - 1 + sum(len(it.moments) for it in spans)
    assert any(it.endswith("└─ apply Machine wsc092ae701  1 nodes wanted") for it in lines)
    assert "   24.420    999 ms  └─ POST /chat  tokens: 8" in lines
    assert lines[-1].split() == ["25.049", "└─", "first", "token"]
    for same in ((f"workspace/{NAME}",), (NAME, "-n", "default")):
        assert run(*same, *GIVEN).splitlines() == [head, root, *lines]
    assert run(f"default/{NAME}", *GIVEN, "--all").count("broker") > "\n".join(lines).count("broker")


def test_json_is_otlps_and_the_same_to_the_byte() -> None:
    text = run(NAME, *GIVEN, "-o", "json")
    assert text == run(NAME, *GIVEN, "-o", "json")
    assert {it.id: it for it in from_otlp(json.loads(text))} == {it.id: it for it in made()}


def test_a_collector_gets_all_of_it() -> None:
    with Collector() as collector:
        said = run(NAME, *GIVEN, "--otlp", collector.base)
        sent = {it.id: it for it in collector.spans()}
    wanted = {it.id: it for it in made()}
    assert said == f"{len(wanted)} spans of trace {made()[0].trace} are sent to {collector.url}\n"
    assert sent == wanted


def test_a_collector_that_does_not_take_it_is_said() -> None:
    with Collector(400) as collector, pytest.raises(RecordingError, match="does not take the spans"):
        run(NAME, *GIVEN, "--otlp", collector.url)
    with pytest.raises(RecordingError, match="'localhost:4318' is no OTLP endpoint"):
        run(NAME, *GIVEN, "--otlp", "localhost:4318")


def test_what_goes_on_yet_and_what_failed_is_seen() -> None:
    def span(name: str, parent: str, began: int, **more: object) -> Span:
        return Span("t", name, parent, name, began, began + 2 * 10**9, {}, **more)  # type: ignore[arg-type]

    root = span("root", "", 10**9, attributes={"kaito.goes_on": True})
    failed = span("write", "root", 2 * 10**9, failure="Conflict: was changed", links=(("other", "x"),))
    first, second = rows([root, failed])
    assert str(first) == "    0.000   2.00 s…  root"
    assert str(second) == "    1.000    2.00 s  └─ write  Conflict: was changed, linked to trace other"
    assert second.failed
    assert second.coloured().plain == str(second)


def test_of_a_recorder_its_part_is_read(tmp_path: Path) -> None:
    with recorder(tmp_path) as kept, served(kept) as url:
        kept.put((FOLDER / "functions.ndjson").read_bytes().splitlines(), datetime.now(UTC))
        lines = run(NAME, "-r", url, "--traces", str(FOLDER), "--dir", "/nowhere").splitlines()
        assert lines == run(NAME, *GIVEN).splitlines()
        with pytest.raises(RecordingError, match=f"it knows default/{NAME}"):
            run("phi", "-r", url)


def test_without_a_collector_it_does_without_opentelemetry() -> None:
    program = "import sys, kaito.cli.tracing; print([it for it in sys.modules if it.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
