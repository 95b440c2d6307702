"""How long a model's server took to start: whom that is asked of, and what becomes of the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import pytest

from functions.workspace.measuring import measure
from functions.workspace.observed import Observed
from functions.workspace.startup import Measure
from kaito.api.resources import Object
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.plan import Plan
from tests.unit.functions.workspace.scenes import decide, machine, node, served, status, workspace
from tests.unit.functions.workspace.test_gang import running
from tests.unit.functions.workspace.test_idle import at_zero

SERVES = ("True", "", "")


def serving(**more: Any) -> Observed:
    observed = Observed(workspace(), (machine(ready=True),), (node(),))
    service = served(observed, SERVES)
    service["status"] |= {"latestReadyRevisionName": "phi-00002", **more}
    return replace(observed, children=(service,))


def asked(plan: Plan) -> list[tuple[str, str]]:
    return [(it.revision, it.url) for it in plan.effects if isinstance(it, Measure)]


def test_a_revision_that_serves_is_asked_after_its_workspace_is_said_to_be_ready() -> None:
    plan = decide(serving(address={"url": "http://phi.default.svc.cluster.local"}))
    assert asked(plan) == [("phi-00002", "http://phi.default.svc.cluster.local/startup")]
    assert isinstance(plan.effects[-1], Measure)
    assert plan.tells[-1] == plan.effects[-1], "and nobody waits for it"
    assert asked(decide(serving())) == [("phi-00002", "http://phi.default.example.com/startup")]


def test_it_is_asked_once() -> None:
    observed = serving()
    assert observed.workspace is not None
    told = {**status(decide(observed)), "startup": {"revision": "phi-00002", "stages": []}}
    assert decide(replace(observed, workspace={**observed.workspace, "status": told})) == Plan()
    other = {**told, "startup": {"revision": "phi-00001", "stages": []}}
    plan = decide(replace(observed, workspace={**observed.workspace, "status": other}))
    assert asked(plan) == [("phi-00002", "http://phi.default.example.com/startup")]
    assert len(plan.effects) == 1, "what it said before is no reason to write the status"


def test_a_gangs_first_pod_is_asked() -> None:
    observed = running(2)
    observed.children[0]["status"]["updateRevision"] = "phi-6d4b"
    assert asked(decide(observed)) == [("phi-6d4b", "http://phi.default.svc/startup")]


def test_nobody_is_woken_for_it_and_no_other_server_is_asked() -> None:
    assert asked(decide(at_zero(1))) == []
    assert asked(decide(serving(conditions=[{"type": "Ready", "status": "Unknown"}]))) == []
    template = {"template": {"spec": {"containers": [{"image": "a:1"}]}}}
    observed = Observed(workspace(inference=template), (machine(ready=True),), (node(),))
    service = served(observed, SERVES)
    service["status"] |= {"latestReadyRevisionName": "phi-00001"}
    assert asked(decide(replace(observed, children=(service,)))) == []


class Said(BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"")
    seen: list[tuple[str, str | None]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Host")))
        self.send_response(self.answer[0])
        self.send_header("Content-Length", str(len(self.answer[1])))
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(Said, "seen", [])
    server = HTTPServer(("127.0.0.1", 0), Said)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Applied:
    """A cluster that keeps what is applied, or refuses it."""

    def __init__(self, refuses: KubeError | None = None) -> None:
        self.refuses = refuses
        self.writes: list[tuple[Object, str]] = []

    def apply(self, obj: Object, *, manager: str, subresource: str) -> None:
        assert subresource == "status"
        if self.refuses:
            raise self.refuses
        self.writes.append((obj, manager))


def ask(url: str, cluster: Applied) -> None:
    measure(Measure(workspace(), "phi-00002", url), cast("Kube", cluster))


def test_the_answer_is_written_by_a_manager_of_its_own(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"stages": [{"name": "load", "seconds": 1.97}, {"name": "warm", "seconds": 0.1234}]}
    monkeypatch.setattr(Said, "answer", (200, json.dumps(answer).encode()))
    cluster = Applied()
    ask(f"http://phi.default.localhost:{port}/startup", cluster)
    assert Said.seen == [("/startup", f"phi.default.localhost:{port}")]
    ((obj, manager),) = cluster.writes
    assert obj["status"] == {
        "startup": {
            "revision": "phi-00002",
            "stages": [{"name": "load", "duration": "1.970s"}, {"name": "warm", "duration": "0.123s"}],
        }
    }
    assert manager != "kaito-workspace", "whose next apply would take it away"
    assert obj["metadata"]["uid"] == workspace()["metadata"]["uid"]


@pytest.mark.parametrize("answer", [(404, b"{}"), (503, b"{}"), (200, b"<html>"), (200, b'{"stages": 7}'), (302, b"")])
def test_what_is_no_answer_is_not_written(
    port: int, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes]
) -> None:
    monkeypatch.setattr(Said, "answer", answer)
    cluster = Applied()
    ask(f"http://127.0.0.1:{port}/startup", cluster)
    assert Said.seen
    assert cluster.writes == []


def test_that_nobody_answers_or_the_workspace_is_gone_is_no_failure(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Said, "answer", (200, b'{"stages": []}'))
    gone = Applied(KubeError(404, "NotFound", "it is gone"))
    ask(f"http://127.0.0.1:{port}/startup", gone)
    ask("http://127.0.0.1:1/startup", gone)
    assert gone.writes == []
