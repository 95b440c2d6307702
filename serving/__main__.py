"""``python -m serving``: the server's process.

gunicorn holds the socket and one worker with threads: the model is there once, and a generation leaves
Python's lock to others for most of its time. The model is loaded in the worker, after the fork, for torch
does not survive one.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from serving import tracing
from serving.adapters import parse
from serving.app import MAX_WAITING, create_app
from serving.backends import BACKENDS
from serving.backends.torch import DTYPES
from serving.engine import ModelError
from serving.gang import Place
from serving.loading import Wanted, load
from serving.pipeline import PIPELINES
from serving.settings import Settings, read
from serving.startup import Startup

_GRACE: Final = 25  # seconds an answer may take after SIGTERM; a pod has 30 by default
# Where a container with a read-only root file system may write: gunicorn's worker shows there that it lives.
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured here and nowhere else, around one model under its ``names``."""

    def __init__(self, startup: Startup, bind: str, names: Sequence[str]) -> None:
        self._startup, self._bind, self._names = startup, bind, names
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": self._bind,
            "workers": 1,
            "worker_class": "gthread",
            "threads": MAX_WAITING + 8,
            "graceful_timeout": _GRACE,
            # A worker that loads a large model is not hung; the platform's liveness probe tells when one is.
            "timeout": 0,
            "proc_name": "serving",
            "worker_tmp_dir": str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None,
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        tracer = tracing.begin(os.environ)  # here and not before: its thread would not survive the fork
        self._startup.start()
        app = create_app(self._startup.model, self._names)
        app.wsgi_app = tracer.around(app.wsgi_app)  # type: ignore[method-assign, assignment]
        return app


def _fail() -> None:
    """End the process: from a thread only this ends gunicorn's worker, and by this code it starts no other."""
    os._exit(Arbiter.APP_LOAD_ERROR)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM; exits with a line on stderr where there is nothing to serve."""
    parser = argparse.ArgumentParser(prog="serving", description="Serve one model over HTTP on $HOST:$PORT.")
    parser.add_argument("--weights", type=Path, required=True, help="directory of config, tokenizer and safetensors")
    parser.add_argument("--pipeline", choices=PIPELINES, default="text-generation")
    parser.add_argument("--torch-dtype", choices=DTYPES, default="auto", help="auto: what the hardware is good at")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="auto: what the hardware is good at")
    parser.add_argument("--name", help="what OpenAI's API calls the model; its directory's name by default")
    parser.add_argument("--adapter", type=parse, action="append", default=[], help="PATH=STRENGTH of one, repeatable")
    parser.add_argument("--config", type=Path, help="a file of settings, which go before flags")
    flags = parser.parse_args(arguments)
    port = os.environ.get("PORT", "5000")
    if not port.isdecimal():
        sys.exit(f"serving: PORT is {port!r}; it must be a number")
    if not (flags.weights / "config.json").is_file():
        sys.exit(f"serving: no model in {flags.weights}: it has no config.json. Is the model image mounted there?")

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # what is not in the directory is not looked for elsewhere
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # what it warns of is refused here
    place = Place.of(os.environ)
    try:
        wanted = Wanted(
            flags.weights,
            flags.name or flags.weights.resolve().name,
            flags.pipeline,
            flags.backend,
            flags.torch_dtype,
            tuple(flags.adapter),
            read(flags.config) if flags.config else Settings(),
        )
        names = wanted.names
        tracing.directory(os.environ)
    except ModelError as error:
        sys.exit(f"serving: {error}")
    if wanted.adapters and not place.alone:
        sys.exit("serving: adapters are for a model that one process holds; WORLD_SIZE is more than 1")
    startup = Startup(partial(load, wanted, place, _fail), failed=_fail)
    if place.local > 0:  # the first process of its node has the port
        startup.start()
        threading.Event().wait()
    # All interfaces unless told otherwise: Knative's probes and proxy come from outside the container.
    bind = f"{os.environ.get('HOST', '0.0.0.0')}:{port}"  # noqa: S104
    Server(startup, bind, names).run()


if __name__ == "__main__":
    main()
