"""A WSGI app as the process of a pod, by gunicorn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from flask import Flask
from gunicorn.app.base import BaseApplication

#: Where a container with a read-only root file system may write: gunicorn's worker shows there that it lives.
SHARED_MEMORY = "/dev/shm"  # noqa: S108


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn in this process's own words: one worker, which has all that there is once, and many threads."""

    def __init__(self, load: Callable[[], Flask], threads: int) -> None:
        self._load, self._threads = load, threads
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}",  # noqa: S104 - a pod's
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._threads,
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
        return self._load()


def serve(load: Callable[[], Flask], threads: int) -> None:
    """Serve what ``load`` makes, in the worker, on ``$HOST:$PORT`` until SIGTERM, then drain."""
    _Server(load, threads).run()
