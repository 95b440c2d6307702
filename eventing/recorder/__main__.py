"""``python -m eventing.recorder`` serves the recorder on $PORT."""

from __future__ import annotations

import os

import structlog
from flask import Flask

from eventing.recorder.app import create_app
from eventing.recorder.database import connect
from eventing.recorder.settings import Settings
from eventing.recorder.store import Store
from kaito.runtime import wsgi
from kaito.runtime.log import configure

#: Requests at once: of each function one that puts, and people who read.
_THREADS = 16


def _load() -> Flask:
    configure()
    settings = Settings.from_environment(os.environ)
    engine = connect(settings.database)
    app = create_app(engine, Store(engine, settings.retention, settings.most))
    where = settings.database.render_as_string(hide_password=True)
    structlog.get_logger().info("recording", database=where, retention=settings.retention, most=settings.most)
    return app


if __name__ == "__main__":
    wsgi.serve(_load, _THREADS)
