"""One kind of an ApiServerSource, listed and watched until stopped, whatever the API server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import structlog

from eventing.source.spec import WatchedResource
from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Gone, KubeError, Labels, ObjectList, Unavailable, WatchEvent

_log: Final = structlog.get_logger()
#: Seconds between two looks for a kind that is not there, or may not be read.
_ABSENT_WAIT: Final = 3.0
#: Seconds before an API server that does not answer is tried again: doubled from the first up to the second.
_BACKOFF: Final = (0.1, 5.0)


class Watch(Protocol):
    """An open watch: iterated by one thread, closed by another, which ends the iteration."""

    def __iter__(self) -> Iterator[WatchEvent]: ...
    def close(self) -> None: ...


class Cluster(Protocol):
    """What a source needs of kaito.runtime.kube.Kube."""

    @property
    def server(self) -> str: ...
    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList: ...
    def watch(
        self, kind: Kind, resource_version: str, namespace: str | None = None, labels: Labels | None = None
    ) -> Watch: ...


class Heard(Protocol):
    """Is told what the API server says; what it takes in is not told again unless it is listed."""

    def replace(self, objects: Sequence[Object]) -> None: ...
    def take(self, event: WatchEvent) -> None: ...


class Reflector:
    """``run`` is for a thread. ``listed`` is set once there was a list; ``version`` is up to where all is taken in."""

    def __init__(
        self,
        resource: WatchedResource,
        namespace: str | None,
        cluster: Cluster,
        heard: Heard,
        stopping: threading.Event,
    ) -> None:
        self.kind, self._labels = Kind(resource.api_version, resource.kind), resource.selector.match_labels
        self._namespace, self._cluster, self._heard, self._stopping = namespace, cluster, heard, stopping
        self.listed = threading.Event()
        self.version: str | None = None
        self._backoff = _BACKOFF[0]
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._told = ""

    def interrupt(self) -> None:
        """Wake the thread where it waits in a watch; ``stopping`` is set already."""
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self.version is None:
                    self._list()
                else:
                    self._follow(self.version)
            except Gone:
                self.version = None
            except Unavailable as error:
                self._tell("API server unavailable", error)
                if error.status:  # It answers, but not that: listing again costs little and loses nothing.
                    self.version = None
                self._stopping.wait(self._backoff)
                self._backoff = min(2 * self._backoff, _BACKOFF[1])
            except KubeError as error:
                self._tell(
                    "not installed; or cluster-scoped, which needs namespaceSelector: {}"
                    if error.status == 404
                    else "cannot be watched",
                    error,
                )
                self.version = None
                self._stopping.wait(_ABSENT_WAIT)

    def _list(self) -> None:
        listed = self._cluster.list(self.kind, self._namespace, self._labels)
        self._settled()
        self._heard.replace(listed.items)
        self.version = listed.resource_version
        self.listed.set()

    def _follow(self, version: str) -> None:
        watch = self._cluster.watch(self.kind, version, self._namespace, self._labels)
        with self._lock:
            self._watch = watch
            if self._stopping.is_set():
                watch.close()
        try:
            for event in watch:
                self._settled()
                self._heard.take(event)
                self.version = event.object["metadata"]["resourceVersion"]
        finally:
            with self._lock:
                self._watch = None
        self._stopping.wait(_BACKOFF[0])  # An API server that ends watches at once must not be hammered.

    def _settled(self) -> None:
        self._backoff, self._told = _BACKOFF[0], ""

    def _tell(self, what: str, error: KubeError) -> None:
        """Log a trouble once, not at each attempt."""
        if what != self._told:
            _log.warning(what, kind=self.kind.kind, api_version=self.kind.api_version, error=str(error))
        self._told = what
