"""The history of Workspaces, as people asked for it."""

from __future__ import annotations

from typing import Any

from eventing.recordings.lives import config_maps, steps
from functions.tuning.observed import Observed as TuningObserved
from functions.workspace.observed import Observed
from kaito.api.resources import Object
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.tuning import scenes as tuning
from tests.unit.functions.workspace.scenes import machine, workspace


def asking(**more: Any) -> Object:
    obj = workspace()
    obj["metadata"] |= more
    obj["status"] = {"state": "Pending"}
    return obj


def test_each_wish_is_a_step_and_what_functions_write_is_none() -> None:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    told.event(asking(), Observed(None), "add")
    told.event(asking(resourceVersion="8"), None)
    told.event(machine(), None)
    told.event(asking(annotations={"kaito.sh/scale-to-zero": "true", "workspace.kaito.io/hash": "x"}), None)
    told.event({**asking(), "resource": {"count": 2}}, None)
    told.event(asking(deletionTimestamp="2026-01-01T00:00:00Z"), None)
    told.event(asking(), None, "delete")
    told.event(asking(uid="another"), None, "add")
    told.close()
    found = steps(sink.recording)
    assert [str(it).partition(" ")[0] for it in found] == ["apply", "apply", "apply", "delete", "apply"]
    assert {it.name for it in found} == {("default", "phi")}
    first, second, third, *_ = (it.workspace for it in found)
    assert first["metadata"] == {"name": "phi", "namespace": "default"}
    assert "status" not in first
    assert second["metadata"]["annotations"] == {"kaito.sh/scale-to-zero": "true"}
    assert third["resource"] == {"count": 2}
    assert [it.when for it in found] == sorted(it.when for it in found)


def test_two_functions_that_hear_the_same_are_one_history() -> None:
    sink = Kept()
    for name in ("kaito-workspace", "kaito-tuning"):
        told = Told(name, sink)
        told.event(asking(), None, "add")
        told.close()
    assert len(steps(sink.recording)) == 1


def test_what_workspaces_name_is_there_as_it_was_last() -> None:
    sink = Kept()
    told = Told("kaito-tuning", sink)
    obj = tuning.workspace()
    for text in (tuning.LORA, tuning.LORA + "# later"):
        config = tuning.config(text)
        config["metadata"] |= {"uid": "c", "resourceVersion": str(len(text))}
        told.event(obj, TuningObserved(obj, config=config))
    told.close()
    (found,) = config_maps(sink.recording)
    assert found["data"]["training_config.yaml"].endswith("# later")
    assert set(found["metadata"]) == {"name", "namespace"}
