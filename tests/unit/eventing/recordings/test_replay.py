"""Today's code decides what was decided; and where it does not, exactly that is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from eventing.recordings import replay
from eventing.recordings.recording import Recording
from eventing.recordings.replay import FUNCTIONS, Replay, Replayed, difference
from functions.tuning.observed import Observed as TuningObserved
from functions.workspace.observed import Observed
from kaito.runtime.decisions import Decisions
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Plan, Refused
from kaito.runtime.recording.recorder import Recorder
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import KEY, NOW, Told, history
from tests.unit.functions.tuning import scenes as tuning
from tests.unit.functions.workspace import matrix
from tests.unit.functions.workspace.scenes import workspace


def replayed(recording: Recording) -> list[Replayed]:
    with Replay(recording) as it:
        return [it.decide(record) for record in recording.decisions.values()]


def test_the_same_code_decides_the_same() -> None:
    again = replayed(history().recording)
    assert len(again) == 9
    assert [it.trouble for it in again] == [""] * 9
    assert all(it.same for it in again)
    kinds = {effect["$class"] for it in again for effect in it.record.data["plan"]["effects"]}
    assert kinds == {"Announce", "Apply", "CreatePool", "Delete", "Mark", "Tell"}


def test_it_is_the_same_to_the_byte_each_time() -> None:
    recording = history().recording
    first, second = (json.dumps([it.plan for it in replayed(recording)]) for _ in range(2))
    assert first == second


def change(monkeypatch: pytest.MonkeyPatch, function: str, changed: Callable[[Any, Plan], Plan]) -> None:
    """Another release of that function."""

    def decisions(environment: Mapping[str, str]) -> Decisions[Any]:
        before = FUNCTIONS[function].decisions(environment)

        def decide(observed: Any, now: datetime) -> Plan:
            return changed(observed, before.reconcile(observed, now))

        return replace(before, reconcile=decide)

    monkeypatch.setattr(replay, "FUNCTIONS", {**FUNCTIONS, function: SimpleNamespace(decisions=decisions)})


def test_a_changed_release_shows_exactly_the_plans_that_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def more_nodes(observed: Any, plan: Plan) -> Plan:
        """Machines are for two days."""
        effects = list(plan.effects)
        for place, effect in enumerate(effects):
            if isinstance(effect, Apply) and effect.object["kind"] == "Machine":
                obj = {**effect.object, "spec": {**effect.object["spec"], "expireAfter": "48h"}}
                effects[place] = replace(effect, object=obj)
        return replace(plan, effects=tuple(effects))

    recording = history().recording
    change(monkeypatch, "kaito-workspace", more_nodes)
    differ = [it for it in replayed(recording) if not it.same]
    (first,) = differ
    assert first.record == next(iter(recording.decisions.values())), "the one that makes the Machine"
    lines = difference(first, recording)
    assert [line for line in lines if line[0] in "+-"] == ["+      expireAfter: 48h"]


def test_a_release_that_fails_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(observed: Any, plan: Plan) -> Plan:
        raise KeyError("status")

    change(monkeypatch, "kaito-tuning", fail)
    troubles = [it.trouble for it in replayed(history().recording) if it.trouble]
    assert troubles == ["KeyError: 'status'"]


@pytest.mark.parametrize("scene", sorted(matrix.SCENES))
def test_every_kind_of_workspace_is_decided_again(scene: str) -> None:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    obj = {**matrix.SCENES[scene], "metadata": {**matrix.SCENES[scene]["metadata"], "resourceVersion": "1"}}
    told.event(obj, Observed(obj))
    told.close()
    (again,) = replayed(sink.recording)
    assert again.same, again.trouble


def test_a_refused_write_is_decided_again() -> None:
    sink = Kept()
    told = Told("kaito-workspace", sink)
    obj = workspace()
    told.event(obj, Observed(obj))
    effect = Apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "phi"}}, "wanted")
    refused = Refused(effect, KubeError(422, "Invalid", "no"))
    decided = FUNCTIONS["kaito-workspace"].decisions({})
    plan = decided.refused(Observed(obj), refused, NOW)
    recorder: Recorder = told._recorder
    recorder.decision(KEY, ["x"], Observed(obj), NOW, plan, refused)
    told.close()
    _, again = replayed(sink.recording)
    assert again.same, again.trouble


def test_secrets_are_no_difference() -> None:
    """What was decided of the secret itself, and what is decided of what is kept in its place."""
    signed = "https://example.com/chats.jsonl?sig=c4n4ry"
    config = tuning.config(tuning.LORA.replace("TrainingArguments:", "TrainingArguments:\n    hub_token: c4n4ry"))
    obj = tuning.workspace(source={"urls": [signed]})
    obj["tuning"]["config"] = config["metadata"]["name"]
    obj["status"] = {"conditions": [{"type": "ResourceReady", "status": "True"}]}
    sink = Kept()
    told = Told("kaito-tuning", sink)
    told.event(obj, TuningObserved(obj, config=config))
    told.close()
    made = next(it["data"]["object"] for it in sink.of("object") if it["data"]["object"]["kind"] == "Job")
    again = Told("kaito-tuning", sink)
    made["metadata"] |= {"uid": "j", "resourceVersion": "3"}
    again.event(obj, TuningObserved(obj, job=made, config=config))
    again.close()
    assert "c4n4ry" not in json.dumps(sink.events)
    first, second = replayed(sink.recording)
    assert (first.trouble, first.same, second.trouble, second.same) == ("", True, "", True)
    assert "Replacing" not in json.dumps(second.plan)


def test_what_the_recording_has_lost_is_said() -> None:
    recording = history().recording
    recording.objects.clear()
    troubles = {it.trouble.split(" ", 2)[2] for it in replayed(recording) if it.trouble}
    assert troubles == {"is not in the recording: it has lost its beginning"}
    recording.installations.clear()
    assert all("was started with is not in the recording" in it.trouble for it in replayed(recording))


def test_another_function_is_not_ours() -> None:
    recording = history().recording
    record = next(iter(recording.decisions.values()))
    with Replay(recording) as it:
        found = it.decide(replace(record, process="somebody/1"))
    assert found.trouble == "this release has no function somebody"
