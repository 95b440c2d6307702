"""What is recorded of what a function does: in order, whole, without secrets, and in nobody's way."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kaito.api.resources import WORKSPACE, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import KubeError
from kaito.runtime.plan import Apply, Plan
from kaito.runtime.recording import recorder as module
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.recorder import Recorder
from tests.recorded import LIMIT, Kept

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
KEY = Key(WORKSPACE, "default", "phi")
INSTALLATION = Installation({"KAITO_CLAIM_KIND": "Machine"}, {"KAITO_CATALOGUE": {"models.yaml": "models: []"}})
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t", "Content-Type": "application/json"}


def recording(sink: Kept) -> Recorder:
    return Recorder("kaito-workspace", "1.2.3", INSTALLATION, sink)


def workspace(version: str = "1", **fields: Any) -> Object:
    meta = {"name": "phi", "namespace": "default", "uid": "u", "resourceVersion": version}
    return {"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", "metadata": meta, **fields}


def applying(obj: Object) -> Plan:
    return Plan((Apply(obj, "wanted"),))


def test_all_of_it_is_told_in_order_and_each_object_once() -> None:
    sink = Kept()
    made = recording(sink)
    delivery = made.delivery(HEADERS, b'{"a": 1}')
    plan = applying({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}})
    first = made.decision(KEY, [delivery], workspace(), NOW, plan, None)
    made.write(first, 0, None, 0.25)
    second = made.decision(KEY, ["timer"], workspace(), NOW, plan, None)
    made.write(second, 0, KubeError(503, "", "gone"), 0.5)
    made.answer(delivery, 202, "", 2, 1.5)
    made.close()
    assert sink.closed
    assert kinds(sink) == [
        *("installation", "delivery", "object", "object", "decision", "write", "decision", "write", "answer")
    ]
    assert sink.of("installation")[0]["data"] == {"version": "1.2.3", **INSTALLATION.to_json()}
    heard = sink.of("delivery")[0]
    assert (heard["id"], heard["data"]["body"], heard["data"]["headers"]) == (delivery, '{"a": 1}', HEADERS)
    one, other = sink.of("decision")
    assert (one["id"], one["subject"], one["data"]["because"]) == (first, "workspace/default/phi", [delivery])
    assert one["data"]["now"] == "2026-01-02T03:04:05.000678Z"
    assert other["data"]["observed"] == one["data"]["observed"]
    objects = {it["id"]: it["data"]["object"] for it in sink.of("object")}
    assert objects[one["data"]["observed"]["$object"]] == workspace()
    done, failed = (it["data"] for it in sink.of("write"))
    assert (done["decision"], done["effect"], done["error"], done["seconds"]) == (first, 0, None, 0.25)
    assert failed["error"] == {"type": "KubeError", "message": "503: gone"}
    assert sink.of("answer")[0]["data"] == {
        "delivery": delivery,
        "status": 202,
        "reason": "",
        "hints": 2,
        "seconds": 1.5,
    }
    names = [it["id"] for it in sink.events if "object" not in it["type"]]
    assert names == sorted(names)
    assert len({it["source"] for it in sink.events}) == 1


def test_the_same_event_again_is_another_attempt() -> None:
    sink = Kept()
    made = recording(sink)
    for headers in (HEADERS, HEADERS, {**HEADERS, "ce-id": "2"}, {"Content-Type": "text/plain"}):
        made.delivery(headers, b"{}")
    made.close()
    assert [it["data"].get("attempt") for it in sink.of("delivery")] == [1, 2, 1, None]


@pytest.mark.parametrize("body", [b"\xff\x00", b"", b"not json", '{"a": "\u00e9"}'.encode()])
def test_a_body_is_kept_to_the_byte(body: bytes) -> None:
    sink = Kept()
    made = recording(sink)
    made.delivery(HEADERS, body)
    made.close()
    data = sink.of("delivery")[0]["data"]
    kept = data["body"].encode() if "body" in data else base64.b64decode(data["body_base64"])
    assert kept == body
    assert "redacted" not in data


def test_what_is_to_be_written_to_a_version_is_not_taken_for_it() -> None:
    sink = Kept()
    made = recording(sink)
    seen = workspace(status={"state": "Ready"})
    made.decision(KEY, [], seen, NOW, applying(workspace(spec={"a": 1})), None)
    made.close()
    (decision,) = sink.of("decision")
    objects = {it["id"]: it["data"]["object"] for it in sink.of("object")}
    assert objects[decision["data"]["observed"]["$object"]] == seen
    assert objects[decision["data"]["plan"]["effects"][0]["object"]["$object"]] == workspace(spec={"a": 1})


def test_a_canary_is_nowhere(tmp_path: Path) -> None:
    canary = "c4n4ry"
    (tmp_path / "a.yaml").write_text(f"token: {canary}")
    sink = Kept()
    made = Recorder("f", "1", Installation.of({"KAITO_TOKEN": canary}, {"KAITO_FOLDER": tmp_path}), sink)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"x": canary}}
    signed = f"https://example.com/a?sig={canary}"
    delivery = made.delivery(
        {**HEADERS, "Authorization": f"Bearer {canary}", "Cookie": canary}, json.dumps(secret).encode()
    )
    made.delivery(HEADERS, f'{{"url": "{signed}"}}'.encode())
    made.delivery({**HEADERS, "Content-Type": "text/plain"}, f"password={canary}".encode())
    seen = workspace(tuning={"input": {"urls": [signed]}}, inference={"env": [{"name": "HF_TOKEN", "value": canary}]})
    decision = made.decision(KEY, [delivery], seen, NOW, applying(seen), None)
    made.write(decision, 0, KubeError(422, "", f"no {signed}"), 0)
    made.answer(delivery, 503, f"no {signed}", 0, 0)
    made.close()
    assert len(sink.of("delivery")) == 3
    assert len(sink.of("decision")) == len(sink.of("write")) == 1
    assert canary not in json.dumps(sink.events)
    assert [it["data"].get("redacted", False) for it in sink.of("delivery")] == [True, True, True]


def kinds(sink: Kept) -> list[str]:
    return [it["type"].rpartition(".")[2] for it in sink.events]


def test_what_cannot_be_kept_is_counted_and_what_decisions_are_made_of_is_told_anew() -> None:
    sink = Kept(failures=1)
    made = recording(sink)
    made.decision(KEY, [], workspace(), NOW, Plan(), None)
    sink.wait(lambda: sink.puts > 0)
    made.decision(KEY, [], workspace(), NOW, Plan(), None)
    made.close()
    assert sum(it["data"]["records"] for it in sink.of("lost")) == 3, "installation, object, decision"
    assert [kind for kind in kinds(sink) if kind != "lost"] == ["installation", "object", "decision"]
    assert sink.of("installation")[0]["data"] == {"version": "1.2.3", **INSTALLATION.to_json()}


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    monkeypatch.setattr(module, "_PAUSE", LIMIT)
    sink = Kept()
    made = recording(sink)
    for _ in range(5):
        made.delivery(HEADERS, b"{}")
    made.close()
    assert len(sink.of("delivery")) == 1
    assert [it["data"]["records"] for it in sink.of("lost")] == [4]


def test_what_is_in_another_file_is_told_anew() -> None:
    sink = Kept(keeps=False)
    made = recording(sink)
    made.decision(KEY, [], workspace(), NOW, Plan(), None)
    sink.wait(lambda: sink.puts > 0)
    made.decision(KEY, [], workspace(), NOW, Plan(), None)
    made.close()
    assert kinds(sink) == ["installation", "object", "decision"] * 2


def test_what_cannot_be_written_down_is_in_nobodys_way() -> None:
    sink = Kept()
    made = recording(sink)
    made.decision(
        KEY, [], object(), NOW, applying({"apiVersion": "v1", "kind": "A", "metadata": {}, "x": {1, 2}}), None
    )
    made.delivery(HEADERS, b"{}")
    made.close()
    assert not sink.of("decision")
    assert len(sink.of("delivery")) == 1
