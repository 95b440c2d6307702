"""The function's HTTP shell: what the Broker is answered, for what."""

from __future__ import annotations

from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from kaito.runtime.kube import Conflict, KubeError, Unavailable
from kaito.runtime.reconciler import Reconciler
from kaito.runtime.server import create_app, sweep_at_start
from tests.unit.kaito.runtime.scripted import HEADERS, ScriptedReconciler


def client(reconciler: ScriptedReconciler) -> FlaskClient:
    return create_app("test", cast("Reconciler[Any]", reconciler)).test_client()


@pytest.mark.parametrize(("body", "asked"), [(b'{"ours": true}', ["workspace/default/phi"]), (b'{"ours": false}', [])])
def test_an_event_that_was_dealt_with_is_202_with_an_empty_body(body: bytes, asked: list[str]) -> None:
    reconciler = ScriptedReconciler()
    answer = client(reconciler).post("/", headers=HEADERS, data=body)
    assert (answer.status_code, answer.data) == (202, b"")
    assert reconciler.asked == asked


def test_a_ping_sweeps() -> None:
    reconciler = ScriptedReconciler()
    answer = client(reconciler).post("/", headers={**HEADERS, "ce-type": "dev.knative.sources.ping"}, data=b"{}")
    assert answer.status_code == 202
    assert reconciler.asked == ["sweep"]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, b"{}", b"specversion"),
        ({**HEADERS, "ce-specversion": "9"}, b"{}", b"specversion"),
        (HEADERS, b"{", b"data"),
    ],
)
def test_what_is_no_cloudevent_is_400_with_the_reason(headers: dict[str, str], body: bytes, reason: bytes) -> None:
    answer = client(ScriptedReconciler()).post("/", headers=headers, data=body)
    assert answer.status_code == 400
    assert reason in answer.data


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Conflict(409, "Conflict", "again"), 409),
        (Unavailable(0, "Unreachable", "gone"), 503),
        (KubeError(403, "Forbidden", "no"), 503),
        (RuntimeError("a bug"), 503),
    ],
)
def test_what_a_redelivery_may_cure_is_409_or_503(failure: Exception, status: int) -> None:
    answer = client(ScriptedReconciler(failure)).post("/", headers=HEADERS, data=b'{"ours": true}')
    assert answer.status_code == status
    assert str(failure).encode() in answer.data


def test_a_sweep_without_an_api_server_is_503() -> None:
    reconciler = ScriptedReconciler(sweep=Unavailable(0, "Unreachable", "gone"))
    answer = client(reconciler).post("/", headers={**HEADERS, "ce-type": "dev.knative.sources.ping"}, data=b"{}")
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("failure", "said"), [(None, []), (Unavailable(0, "Unreachable", "gone"), ["no sweep at start"])]
)
def test_the_sweep_at_start_may_fail_and_says_so(failure: Exception | None, said: list[str]) -> None:
    reconciler = ScriptedReconciler(sweep=failure)
    with capture_logs() as logs:
        sweep_at_start(cast("Reconciler[Any]", reconciler))
    assert reconciler.asked == ([] if failure else ["sweep"])
    assert [line["event"] for line in logs] == said


def test_healthz() -> None:
    assert client(ScriptedReconciler()).get("/healthz").status_code == 200
