"""A history is run again with faults, and ends as without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventing.recordings.lives import Step
from kaito.embedded import rerun
from kaito.embedded.faults import Fault, Faults
from tests.e2e.conftest import example

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def history() -> list[Step]:
    kept, gone = (example("phi-3-mini") for _ in range(2))
    for obj, name in ((kept, "kept"), (gone, "gone")):
        obj["metadata"] = {"name": name, "namespace": "default"}
        obj["resource"]["labelSelector"]["matchLabels"]["apps"] = name
    changed = {**kept, "metadata": {**kept["metadata"], "annotations": {"kaito.sh/scale-to-zero": "true"}}}
    return [
        Step(NOW, kept),
        Step(NOW, gone),
        Step(NOW + timedelta(seconds=1), changed),
        Step(NOW + timedelta(seconds=2), gone, deleted=True),
    ]


def test_faults_change_nothing_of_how_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun, "_STILL", 3.0)  # its model never runs here
    said: list[str] = []
    found = rerun.rerun(history(), (), tmp_path, Faults(tuple(Fault), 1), said.append)
    assert found.difference == ()
    assert sum(found.happened.values()) > 3
    assert said.count("delete workspace default/gone") == 2
