from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from eventing.source import __main__ as program
from eventing.source.health import create_app
from kaito.api.resources import NODE, Kind, Object
from kaito.runtime.kube import Kube
from tests.scripted import ScriptedCluster
from tests.unit.eventing.source.world import manifest


class Api(ScriptedCluster):
    """Has the ApiServerSource ``found``."""

    def __init__(self, found: Object | None) -> None:
        super().__init__("https://127.0.0.1:6443", {}, {})
        self.found = found

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        assert (kind.kind, namespace, name) == ("ApiServerSource", "ns", "it")
        return self.found


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api(None)
    monkeypatch.setattr(Kube, "from_environment", lambda: api)
    return api


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no YAML"),
        ("[]", "there is no ApiServerSource"),
        ("", "there is no ApiServerSource"),
        ("{apiVersion: v1, kind: Node, metadata: {name: n}}", "must be an ApiServerSource of sources.knative.dev/v1"),
        (
            "{apiVersion: sources.knative.dev/v1, kind: ApiServerSource, metadata: {}}",
            "must be an ApiServerSource of sources.knative.dev/v1 with a name",
        ),
        (
            "{apiVersion: sources.knative.dev/v1, kind: ApiServerSource, metadata: {name: n}}",
            "ApiServerSource default/n: spec: is missing",
        ),
    ],
)
def test_a_file_that_is_no_source_ends_it_with_a_reason(tmp_path: Path, api: Api, text: str, reason: str) -> None:
    file = tmp_path / "source.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        program.main(["--manifest", str(file), "--spool", str(tmp_path / "spool")])
    assert str(ended.value.code).startswith("the source cannot run: ")
    assert reason in str(ended.value.code)


def test_a_file_or_a_source_that_is_not_there_ends_it_with_a_reason(tmp_path: Path, api: Api) -> None:
    for flags, reason in (
        (["--manifest", str(tmp_path / "no")], "No such file"),
        (
            ["--source", "ns/it"],
            "--source ns/it: there is no ApiServerSource",
        ),
    ):
        with pytest.raises(SystemExit) as ended:
            program.main([*flags, "--spool", str(tmp_path)])
        assert reason in str(ended.value.code)


@pytest.mark.parametrize("found_by", ["--manifest", "--source"])
def test_flags_are_what_the_adapter_runs(
    tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    ran: list[tuple[Any, ...]] = []

    class Adapter:
        failure = None

        def __init__(self, given: Object, kube: Any, directory: Path, *, most: int, resync: float | None) -> None:
            ran.append((given["metadata"]["name"], kube, directory, most, resync))

    monkeypatch.setattr(program, "Adapter", Adapter)
    monkeypatch.setattr(program, "_run", lambda adapter: None)
    file = tmp_path / "source.yaml"
    file.write_text(yaml.safe_dump(manifest()))
    api.found = manifest()
    where = str(file) if found_by == "--manifest" else "ns/it"
    program.main([found_by, where, "--spool", "/spool"])
    program.main([found_by, where, "--spool", "/spool", "--spool-megabytes", "1", "--resync-period", "1h30m"])
    assert ran == [("kaito", api, Path("/spool"), 64 << 20, None), ("kaito", api, Path("/spool"), 1 << 20, 5400.0)]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--spool", "/s"], "one of the arguments --manifest --source is required"),
        (["--manifest", "f", "--source", "ns/it", "--spool", "/s"], "not allowed with"),
        (["--manifest", "f"], "the following arguments are required: --spool"),
        (["--manifest", "f", "--spool", "/s", "--spool-megabytes", "0"], "'0' is no number from 1 on"),
    ],
)
def test_bad_flags_are_refused(capsys: pytest.CaptureFixture[str], flags: list[str], reason: str) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(flags)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_bad_period_is_refused(tmp_path: Path, api: Api) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--source", "ns/it", "--spool", str(tmp_path), "--resync-period", "daily"])
    assert ended.value.code == "the source cannot run: 'daily' is not a duration like 30s, 10m or 1h"


def test_what_it_answers_over_http() -> None:
    unlisted = [NODE]
    client = create_app(lambda: unlisted).test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not listed yet: Node v1\n")
    unlisted.clear()
    assert client.get("/readyz").status_code == 200
    assert "kaito_source_changes_waiting" in client.get("/metrics").text
