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
from pathlib import Path
from typing import Any, Final

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from serving.adapters import merge, parse
from serving.app import MAX_WAITING, create_app
from serving.backends import BACKENDS, choose
from serving.backends.openvino import OpenVinoEngine
from serving.backends.torch import DTYPES, TransformersEngine
from serving.engine import Engine, ModelError
from serving.gang import Follower, Leader, Place, meet
from serving.metrics import stage
from serving.pipeline import PIPELINES
from serving.pipeline import load as load_pipeline
from serving.settings import Settings, read
from serving.startup import Model, Startup

_GRACE: Final = 25  # seconds an answer may take after SIGTERM; a pod has 30 by default
# Where a container with a read-only root file system may write: gunicorn's worker shows there that it lives.
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured here and nowhere else, around one model."""

    def __init__(self, startup: Startup, bind: str, name: str) -> None:
        self._startup, self._bind, self._name = startup, bind, name
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
        self._startup.start()
        return create_app(lambda: self._startup.model, self._name)


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
    try:
        settings = read(flags.config) if flags.config else Settings()
    except ModelError as error:
        sys.exit(f"serving: {error}")
    place = Place.of(os.environ)
    if flags.adapter and not place.alone:
        sys.exit("serving: adapters are merged into a model that one process holds; WORLD_SIZE is more than 1")

    def load() -> Model:
        if not place.alone:
            meet(place, flags.weights)
        changed = bool(flags.adapter) or not place.alone
        backend = choose(flags.backend, flags.weights, changed=changed)
        with stage("load"):
            if backend == "openvino":
                engine: Engine = OpenVinoEngine.load(flags.weights)
            else:
                engine = TransformersEngine.load(
                    flags.weights,
                    settings.torch_dtype or flags.torch_dtype,
                    change=lambda model: merge(model, flags.adapter),
                    divided=not place.alone,
                )
        if place.rank > 0:
            follower = Follower(engine, _fail)
            follower.start()
            return follower
        leading = engine if place.alone else Leader(engine, _fail)
        return load_pipeline(leading, flags.weights, settings.pipeline or flags.pipeline, settings.generate_kwargs)

    startup = Startup(load, failed=_fail)
    if place.local > 0:  # the first process of its node has the port
        startup.start()
        threading.Event().wait()
    # All interfaces unless told otherwise: Knative's probes and proxy come from outside the container.
    bind = f"{os.environ.get('HOST', '0.0.0.0')}:{port}"  # noqa: S104
    Server(startup, bind, flags.name or flags.weights.resolve().name).run()


if __name__ == "__main__":
    main()
