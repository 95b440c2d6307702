"""A running Envoy that is told what to serve by files, and is asked whether it does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from kaito.api.resources import Object
from kaito.embedded.error import EmbeddedError
from kaito.embedded.process import Process, ProcessTable
from kaito.embedded.supervisor import Supervised
from tests.cluster.envoy import (
    PROBE_HOST,
    Address,
    Rendering,
    bootstrap,
    render,
    routes_file,
    routes_name,
)

_BOOTSTRAP: Final = "bootstrap.json"
_PROBE_EVERY: Final = 0.02
_PATIENCE: Final = 10.0


class NotServed(EmbeddedError):
    """Envoy goes on serving what it served before; the message holds the end of its log."""


class Gateway:
    """Envoy with its files in ``directory``, started again whenever it ends. One thread calls ``serve``."""

    def __init__(self, program: Path, directory: Path, listeners: Mapping[str, Address]) -> None:
        self._program, self._listeners = program, listeners
        self._files = directory / "xds"
        self._files.mkdir(parents=True, exist_ok=True)
        self._table = ProcessTable(directory)
        # One connection a probe: a kept one could belong to an Envoy that has ended since.
        self._client = httpx.Client(trust_env=False, timeout=1, limits=httpx.Limits(max_keepalive_connections=0))
        self._write(_BOOTSTRAP, bootstrap(self._files, listeners))
        self._write_routes(render((), {}))  # Envoy does not start where a file is missing
        self._envoy = Supervised(self._start)
        self._envoy.watch()

    def serve(self, rendering: Rendering) -> None:
        """Return when every listener serves ``rendering``; raises NotServed. No request fails of the change."""
        self._write_routes(rendering)
        deadline = time.monotonic() + _PATIENCE
        while waiting := [name for name, at in self._listeners.items() if self._version(at) != rendering.version]:
            if time.monotonic() > deadline:
                raise NotServed(
                    f"Envoy does not serve version {rendering.version} at the {' and '.join(waiting)} listener. "
                    f"It must be able to listen at {self._listeners}. The end of its log:\n{self._envoy.process.tail()}"
                )
            threading.Event().wait(_PROBE_EVERY)

    @property
    def process(self) -> Process:
        """Envoy as it runs now."""
        return self._envoy.process

    def stop(self) -> None:
        """End Envoy; returns when it is gone."""
        self._envoy.stop()
        self._client.close()

    def _start(self) -> Process:
        # One worker, so that the probe's answer is that of every later request; and it is enough for a node.
        options = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
        return self._table.start(
            "envoy", [str(self._program), "--config-path", str(self._files / _BOOTSTRAP), *options]
        )

    def _version(self, at: Address) -> str | None:
        try:
            return self._client.get(f"http://{at.host}:{at.port}/", headers={"Host": PROBE_HOST}).text
        except httpx.TransportError:
            return None  # it is about to listen

    def _write_routes(self, rendering: Rendering) -> None:
        for name, table in rendering.routes.items():
            self._write(routes_name(name), routes_file(rendering.version, table))

    def _write(self, name: str, content: Object) -> None:
        """Replace the file whole: Envoy reads one when it is renamed to its place."""
        new = self._files / f".{name}.new"
        new.write_text(json.dumps(content))
        new.replace(self._files / name)
