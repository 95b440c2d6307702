"""``python -m console`` serves the page on $PORT, of the cluster that it runs in."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import structlog
from flask import Flask

from console.app import STREAMS, create_app
from console.chat import AT_ONCE, Chats
from console.console import Console
from console.settings import Settings
from eventing.recordings.part import Part
from eventing.recordings.remote import Remote
from kaito.runtime import wsgi
from kaito.runtime.kube import Kube
from kaito.runtime.log import configure

#: Requests at once: all pages' streams, all questions, and what is short.
_THREADS = STREAMS + AT_ONCE + 8


def _load() -> Flask:
    configure()
    settings = Settings.from_environment(os.environ)
    part = Part(since=datetime.now(UTC) - timedelta(seconds=settings.window))
    sources = [Remote(settings.recorder)] if settings.recorder else []
    console = Console(sources, Kube.from_environment(), part, settings.rows)
    console.start()
    structlog.get_logger().info("showing", recorder=settings.recorder, window=settings.window, rows=settings.rows)
    return create_app(console, Chats(inside=True), settings.hosts)


if __name__ == "__main__":
    wsgi.serve(_load, _THREADS)
