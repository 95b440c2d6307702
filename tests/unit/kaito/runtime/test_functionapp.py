"""A function on Azure Functions, without Azure's host: its triggers, called as the host would call them."""

from __future__ import annotations

import datetime
import importlib
import json
from typing import Any, cast

import azure.functions as func
import pytest
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from kaito.runtime.functionapp import DeliveryError, app_of
from kaito.runtime.kube import Conflict, KubeError
from kaito.runtime.reconciler import Reconciler
from tests.unit.kaito.runtime.scripted import HEADERS, ScriptedReconciler


class Due(func.TimerRequest):
    past_due = False
    schedule_status: dict[str, Any] = {}
    schedule: dict[str, Any] = {}


def trigger(app: func.FunctionApp, name: str) -> Any:
    (found,) = (it.get_user_function() for it in app.get_functions() if it.get_function_name() == name)
    return found


def app(reconciler: ScriptedReconciler) -> func.FunctionApp:
    return app_of(lambda: cast(Reconciler[Any], reconciler))


def post(reconciler: ScriptedReconciler, headers: dict[str, str], body: bytes) -> func.HttpResponse:
    request = func.HttpRequest(method="POST", url="/events", headers=headers, body=body)
    answer: func.HttpResponse = trigger(app(reconciler), "events")(request)
    return answer


def grid(reconciler: ScriptedReconciler, event: Any) -> None:
    """As Event Grid sends it, by the host's own converter."""
    decoded = EventGridEventInConverter.decode(Datum(json.dumps(event), "json"), trigger_metadata={})
    trigger(app(reconciler), "grid")(decoded)


def test_an_event_by_http_is_heard_and_answered_as_on_knative() -> None:
    reconciler = ScriptedReconciler()
    assert post(reconciler, HEADERS, b'{"a": 1}').status_code == 202
    assert reconciler.heard[0].data == {"a": 1}


@pytest.mark.parametrize(
    ("outcome", "headers", "status", "reason"),
    [
        (None, {}, 400, b"not a CloudEvent"),
        (Conflict(409, "Conflict", "again"), HEADERS, 409, b"again"),
        (KubeError(403, "Forbidden", "no"), HEADERS, 503, b"no"),
    ],
)
def test_what_went_wrong_is_answered(
    outcome: Exception | None, headers: dict[str, str], status: int, reason: bytes
) -> None:
    answer = post(ScriptedReconciler(outcome), headers, b"{}")
    assert answer.status_code == status
    assert reason in answer.get_body()


EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "https://10.0.0.1:443",
    "type": "dev.knative.apiserver.resource.add",
    "subject": "/apis/kaito.sh/v1beta1/namespaces/default/workspaces/phi",
    "time": "2026-11-27T12:00:00.25+00:00",
    "datacontenttype": "application/json",
    "kind": "Workspace",
    "name": "phi",
    "namespace": "default",
    "apiversion": "kaito.sh/v1beta1",
    "data": {"kind": "Workspace"},
}


def test_an_event_by_event_grid_is_heard_with_all_its_attributes() -> None:
    reconciler = ScriptedReconciler()
    grid(reconciler, EVENT)
    (event,) = reconciler.heard
    assert event.data == {"kind": "Workspace"}
    when = datetime.datetime.fromisoformat(event.attributes["time"])
    assert when == datetime.datetime.fromisoformat(str(EVENT["time"]))
    rest = {name: value for name, value in event.attributes.items() if name != "time"}
    assert rest == {name: value for name, value in EVENT.items() if name not in ("time", "data")}


def test_event_grid_is_to_send_again_what_failed() -> None:
    with pytest.raises(DeliveryError, match="409: Conflict: again"):
        grid(ScriptedReconciler(Conflict(409, "Conflict", "again")), EVENT)


def test_event_grids_own_schema_is_refused_with_what_to_do() -> None:
    own = {"id": "1", "topic": "t", "subject": "s", "eventType": "e", "dataVersion": "1", "data": {}}
    with pytest.raises(DeliveryError, match=r"delivery schema CloudEvents v1\.0"):
        grid(ScriptedReconciler(), {**own, "eventTime": "2026-11-27T12:00:00Z"})


def test_the_timer_sweeps_and_fails_where_the_sweep_does() -> None:
    reconciler = ScriptedReconciler()
    trigger(app(reconciler), "sweep")(Due())
    assert reconciler.asked == ["sweep"]
    with pytest.raises(KubeError):
        trigger(app(ScriptedReconciler(sweep=KubeError(503, "Unavailable", "down"))), "sweep")(Due())


@pytest.mark.parametrize("function", ["workspace", "provisioner", "tuning"])
def test_a_functions_file_has_these_triggers_and_makes_nothing_yet(function: str) -> None:
    module = importlib.reload(importlib.import_module(f"functions.{function}.function_app"))
    bindings = {it.get_function_name(): it.get_bindings_dict()["bindings"] for it in module.app.get_functions()}
    triggers = {name: found[0] for name, found in bindings.items()}
    assert {name: it["type"] for name, it in triggers.items()} == {
        "events": "httpTrigger",
        "grid": "eventGridTrigger",
        "sweep": "timerTrigger",
    }
    assert triggers["events"]["route"] == "events"
    assert triggers["sweep"]["schedule"] == "*/30 * * * * *"
