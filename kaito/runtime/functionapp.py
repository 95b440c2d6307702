"""A function on Azure Functions, in its v2 model: events by HTTP and by Event Grid, and a timer that sweeps.

The same handler as on Knative. What Knative's PingSources are there is the timer here, and no Trigger says whether
events reach the function: it is taken for granted that they do.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import azure.functions as func

from kaito.runtime.delivery import ANSWER_WITHIN_SECONDS, Answer, deliver
from kaito.runtime.host import hosted
from kaito.runtime.reconciler import Function, Reconciler

#: As often as what is under way is swept on Knative.
SWEEP = "*/30 * * * * *"
_STRUCTURED = {"content-type": "application/cloudevents+json"}


class DeliveryError(Exception):
    """The event is not dealt with: Event Grid is to send it again."""


def function_app(function: Callable[[], Function[Any]]) -> func.FunctionApp:
    """What Azure's host finds in ``function_app.py`` as ``app``; ``function`` is made when it is first needed."""

    @functools.cache
    def reconciler() -> Reconciler[Any]:
        return hosted(dataclasses.replace(function(), fast_sweep=None, hears=lambda _: True))

    return app_of(reconciler)


def app_of(reconciler: Callable[[], Reconciler[Any]]) -> func.FunctionApp:
    """The app around one reconciler."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

    @app.function_name("events")
    @app.route(route="events", methods=["POST"])
    def events(req: func.HttpRequest) -> func.HttpResponse:
        answer = deliver(reconciler(), dict(req.headers), req.get_body())
        return func.HttpResponse(answer.reason, status_code=answer.status)

    @app.function_name("grid")
    @app.event_grid_trigger(arg_name="event")
    def grid(event: func.CloudEvent) -> None:
        _raise(deliver(reconciler(), _STRUCTURED, _envelope(event)))

    @app.function_name("sweep")
    @app.timer_trigger(schedule=SWEEP, arg_name="timer")
    def sweep(timer: func.TimerRequest) -> None:  # noqa: ARG001 - that it is time is all it says
        wait(reconciler().sweep(), timeout=ANSWER_WITHIN_SECONDS)

    return app


def _envelope(event: func.CloudEvent) -> bytes:
    """The event in CloudEvents' JSON format."""
    if not isinstance(event, func.CloudEvent):
        raise DeliveryError(
            f"{type(event).__name__}: give the Event Grid subscription the delivery schema CloudEvents v1.0"
        )
    attributes = {
        "specversion": event.specversion,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time.isoformat() if event.time else None,
        "subject": event.subject,
        "datacontenttype": event.datacontenttype,
        "dataschema": event.dataschema,
        **event.extension_attrs,
    }
    present = {name: value for name, value in attributes.items() if value is not None}
    return json.dumps({**present, "data": event.get_json()}).encode()


def _raise(answer: Answer) -> None:
    if answer.status != 202:
        raise DeliveryError(f"{answer.status}: {answer.reason}")
