"""Functions of the embedded platform record to its directory, wherever their manifests say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kaito.embedded import recordings
from kaito.embedded.recordings import recorded


def service(name: str, *env: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"name": "function", "env": list(env)}]}}},
    }


def test_all_functions_are_recorded_to_a_folder_of_the_platforms(tmp_path: Path) -> None:
    first, claim = {"name": "KAITO_CLAIM_KIND", "value": "Machine"}, {"kind": "Namespace", "apiVersion": "v1"}
    cluster = {"name": "KAITO_RECORDING", "value": "http://kaito-recorder.kaito-system.svc.cluster.local/"}
    objects = [service("one", first, cluster), service("other"), claim]
    one, other, rest = recorded(objects, tmp_path)
    here = [
        {"name": "KAITO_RECORDING", "value": (tmp_path / "recording").as_uri()},
        {"name": "KAITO_TRACES", "value": (tmp_path / "traces").as_uri()},
    ]
    for made, env in ((one, [first, *here]), (other, here)):
        assert made["spec"]["template"]["spec"]["containers"][0]["env"] == env
    assert rest == claim
    assert objects[0] == service("one", first, cluster), "the given ones are as they were"


def test_of_earlier_runs_the_last_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "_MOST_BYTES", 25)
    folder = tmp_path / "recording"
    folder.mkdir()
    for age, name in enumerate(("new", "old", "oldest")):
        file = folder / f"{name}.ndjson"
        file.write_bytes(b"0123456789")
        os.utime(file, (1000 - age, 1000 - age))
    recorded([], tmp_path)
    assert sorted(file.stem for file in folder.iterdir()) == ["new", "old"]
