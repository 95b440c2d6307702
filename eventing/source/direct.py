"""An ApiServerSource, run in this process: lists and watches its kinds, sends a CloudEvent for each change.

Events equal those of Knative's adapter in every attribute, beside the traceparent of what is a Workspace's. Three
deviations, all on purpose, so that no restart loses anything: the first list sends an add for each object; a later list
(after a watch was cut off for too long) sends what it finds changed; a kind that is not installed yet is waited for. As
there, each kind is sent in order, one event at a time, and an event is dropped when its retries are used up: the sweep
repairs that.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import structlog

from eventing import delivery
from eventing.delivery import SOURCE_POLICY, Mounts, Resolve, Sender
from eventing.inventory import Change, Inventory, Remembered
from eventing.source.event import describe, message
from eventing.source.reflector import Cluster, Reflector
from eventing.source.spec import ApiServerSourceSpec, namespace_of, spec_of
from kaito.api.resources import Object
from kaito.runtime.kube import WatchEvent

_log: Final = structlog.get_logger()
_JOIN: Final = 5.0


class ApiServerSource:
    """Runs one ApiServerSource manifest, a thread a kind. Raises ManifestError for what it cannot honour."""

    def __init__(
        self, manifest: Mapping[str, Any], cluster: Cluster, resolve: Resolve, mounts: Mounts | None = None
    ) -> None:
        spec, namespace = spec_of(manifest), namespace_of(manifest)
        self._client = delivery.client(mounts)
        self._stopping = threading.Event()
        self._reflectors = [
            Reflector(
                resource,
                spec.scope(namespace),
                cluster,
                _Outlet(spec, namespace, cluster.server, resolve, self._client, self._stopping),
                self._stopping,
            )
            for resource in spec.resources
        ]
        self._threads = [
            threading.Thread(target=it.run, name=f"source {it.kind.kind}", daemon=True) for it in self._reflectors
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all threads, also those that wait in a watch or between two attempts."""
        self._stopping.set()
        for reflector in self._reflectors:
            reflector.interrupt()
        for thread in self._threads:
            thread.join(_JOIN)
        self._client.close()


class _Outlet:
    """Sends the changes of one kind to the source's sink."""

    def __init__(
        self,
        spec: ApiServerSourceSpec,
        namespace: str,
        server: str,
        resolve: Resolve,
        client: httpx.Client,
        stopping: threading.Event,
    ) -> None:
        self._inventory = Inventory(Remembered())
        self._spec, self._namespace, self._server, self._resolve = spec, namespace, server, resolve
        self._sender, self._stopping = Sender(client, stopping), stopping

    def replace(self, objects: Sequence[Object]) -> None:
        for change in self._inventory.replace(objects):
            if self._stopping.is_set():
                return
            self._send(change)

    def take(self, event: WatchEvent) -> None:
        for change in self._inventory.take(event):
            self._send(change)

    def _send(self, change: Change) -> None:
        event = describe(change, self._spec.mode, self._server)
        attempt = self._sender.send(message(event, self._namespace), self._sink, SOURCE_POLICY)
        if not attempt.delivered and not self._stopping.is_set():
            _log.warning(
                "event dropped: the sink did not take it",
                type=event.type,
                subject=event.subject,
                status=attempt.status,
                reason=attempt.reason,
            )

    def _sink(self) -> str:
        return self._resolve(self._spec.sink, self._namespace)
