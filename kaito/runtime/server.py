"""The HTTP shell of a function on Knative: CloudEvents in, 202 out.

The body of a 202 is empty: one that is no CloudEvent would be a failure to the Broker.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import structlog
from flask import Flask, Response, request

from kaito.runtime import wsgi
from kaito.runtime.delivery import deliver
from kaito.runtime.host import hosted
from kaito.runtime.kube import KubeError
from kaito.runtime.reconciler import Function, Reconciler

log = structlog.get_logger()

#: Deliveries that wait are what a look is shared by.
THREADS = 256


def create_app(name: str, reconciler: Reconciler[Any]) -> Flask:
    """The function's WSGI app: ``POST /`` takes an event, ``GET /healthz`` says that it can."""
    app = Flask(name)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response(status=200)

    @app.post("/")
    def take() -> Response:
        answer = deliver(reconciler, dict(request.headers), request.get_data())
        return Response(f"{answer.reason}\n" if answer.reason else None, status=answer.status)

    return app


def sweep_at_start(reconciler: Reconciler[Any]) -> None:
    """Timers died with the process before this one; a sweep finds what they waited for."""
    try:
        reconciler.sweep()
    except KubeError as error:  # The API server is away: its events, or the next sweep, come when it is back.
        log.warning("no sweep at start", reason=str(error))


def serve(function: Function[Any]) -> None:
    """Serve on ``$PORT`` until SIGTERM, then drain."""
    wsgi.serve(partial(_loaded, function), THREADS)


def _loaded(function: Function[Any]) -> Flask:
    reconciler = hosted(function)
    app = create_app(function.name, reconciler)
    # Beside the first answers: a request waits for this process, and not for all there is to be listed.
    threading.Thread(target=sweep_at_start, args=(reconciler,), name="first-sweep", daemon=True).start()
    return app
