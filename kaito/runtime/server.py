"""The HTTP shell of a function on Knative: CloudEvents in, 202 out.

The body of a 202 is empty: one that is no CloudEvent would be a failure to the Broker.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

import structlog
from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

from kaito.runtime.delivery import deliver
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.log import configure
from kaito.runtime.reconciler import Function, Reconciler
from kaito.runtime.recording import sinks

log = structlog.get_logger()

#: Deliveries that wait are what a look is shared by.
THREADS = 256
#: Where a container with a read-only root file system may write: gunicorn's worker shows there that it lives.
SHARED_MEMORY = "/dev/shm"  # noqa: S108


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


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn in this process's own words: one worker (one coalescing queue), many threads (waiting deliveries)."""

    def __init__(self, function: Function[Any]) -> None:
        self._function = function
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}",  # noqa: S104 - a pod's
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "timeout": 0,
            "graceful_timeout": 20,
            "keepalive": 2,
            "worker_tmp_dir": SHARED_MEMORY if Path(SHARED_MEMORY).is_dir() else None,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        configure()
        recorder = sinks.recorder(self._function.name, self._function.installation, os.environ)
        reconciler = Reconciler(self._function, Kube.from_environment(), recorder=recorder)
        if recorder:
            atexit.register(recorder.close)
        app = create_app(self._function.name, reconciler)
        # Beside the first answers: a request waits for this process, and not for all there is to be listed.
        threading.Thread(target=sweep_at_start, args=(reconciler,), name="first-sweep", daemon=True).start()
        return app


def sweep_at_start(reconciler: Reconciler[Any]) -> None:
    """Timers died with the process before this one; a sweep finds what they waited for."""
    try:
        reconciler.sweep()
    except KubeError as error:  # The API server is away: its events, or the next sweep, come when it is back.
        log.warning("no sweep at start", reason=str(error))


def serve(function: Function[Any]) -> None:
    """Serve on ``$PORT`` until SIGTERM, then drain."""
    _Server(function).run()
