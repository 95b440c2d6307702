"""The receive adapter, as Knative calls what runs a source in a pod.

Changes wait for the sink on the disk: neither an end of this process nor a sink that is slow or away loses one, and the
watch never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from eventing import delivery
from eventing.manifest import label
from eventing.source.forwarder import SENDERS, Forwarder
from eventing.source.ledger import Ledger, scope_of
from eventing.source.reflector import Cluster, Reflector
from eventing.source.sink import Reads, Sink
from eventing.source.spec import namespace_of, spec_of
from eventing.source.spool import Spool
from eventing.source.store import Store
from kaito.api.resources import Kind

_log: Final = structlog.get_logger()
#: Seconds for what is on the wire at the end: what takes longer is sent again.
_GRACE: Final = 5.0


class Api(Cluster, Reads, Protocol):
    """What an adapter needs of kaito.runtime.kube.Kube."""


class Adapter:
    """Runs one manifest on the store in ``directory``. Raises ManifestError or StoreError.

    ``resync`` seconds after the last time, all that is known is told again; ``most`` is what deletes may take of the
    disk while they wait, in bytes.
    """

    def __init__(
        self, manifest: Mapping[str, Any], api: Api, directory: Path, *, most: int, resync: float | None = None
    ) -> None:
        spec, namespace = spec_of(manifest), namespace_of(manifest)
        sink = Sink(spec.sink, namespace, api, f"{label(manifest)}: spec.sink")
        scopes = [scope_of(spec, namespace, resource) for resource in spec.resources]
        self._store = Store(directory)
        self._store.keep_only(scopes)
        self.spool = Spool(self._store, time.monotonic, most)
        self._client, self._stopping, self._resync = delivery.client(), threading.Event(), resync
        self._forwarder = Forwarder(
            self.spool, sink, spec.mode, namespace, api.server, self._client, self._stopping, time.monotonic
        )
        self._ledgers = [Ledger(it, spec.mode, self._store, self.spool, self._forwarder.wake) for it in scopes]
        self.reflectors = [
            Reflector(resource, spec.scope(namespace), api, ledger, self._stopping)
            for resource, ledger in zip(spec.resources, self._ledgers, strict=True)
        ]
        works = [
            *((f"source {it.kind.kind}", it.run) for it in self.reflectors),
            *((f"source sender {number}", self._forwarder.work) for number in range(SENDERS)),
            *([("source resync", self._tell_again)] if resync else []),
        ]
        self._threads = [threading.Thread(target=self._run, args=(it,), name=name, daemon=True) for name, it in works]
        self.failure: Exception | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until something has failed that waiting does not cure, such as a disk that is full: see ``failure``."""
        self._stopping.wait()

    def stop(self) -> None:
        """End all threads; what is not sent is sent by the next adapter on this store."""
        self._stopping.set()
        self._forwarder.wake()
        for reflector in self.reflectors:
            reflector.interrupt()
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._client.close()
        self._store.close()

    def unlisted(self) -> Sequence[Kind]:
        """The kinds that were not listed yet."""
        return [reflector.kind for reflector in self.reflectors if not reflector.listed.is_set()]

    def _tell_again(self) -> None:
        while not self._stopping.wait(self._resync):
            for ledger in self._ledgers:
                ledger.resync()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the boundary: half a source would look like a whole one
            if not self._stopping.is_set():
                _log.exception("the source ends: part of it has failed", part=threading.current_thread().name)
                self.failure = error
                self._stopping.set()
