"""Lists and watches one kind for as long as the platform lives, through restarts of the API server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Gone, Kube, KubeError, Watch

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0

log = structlog.get_logger()


class Follower:
    """Calls ``on_list`` with everything there is, then ``on_event`` (ADDED, MODIFIED, DELETED) for each change.

    In ``namespace``, or anywhere.
    """

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        on_list: Callable[[tuple[Object, ...]], None],
        on_event: Callable[[str, Object], None],
        namespace: str | None = None,
    ) -> None:
        self._namespace = namespace
        self._kube, self._kind, self._on_list, self._on_event = kube, kind, on_list, on_event
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.plural}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, also where it waits in a watch."""
        with self._lock:
            self._stopping.set()
            if self._watch:
                self._watch.close()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause, version = FIRST_PAUSE, None
        while not self._stopping.is_set():
            try:
                if version is None:
                    listed = self._kube.list(self._kind, self._namespace)
                    self._on_list(listed.items)
                    version = listed.resource_version
                for event in self._open(version):
                    version = event.object["metadata"]["resourceVersion"]
                    pause = FIRST_PAUSE
                    if event.type != "BOOKMARK" and not self._stopping.is_set():
                        self._on_event(event.type, event.object)
            except Gone:
                version = None
            except Exception as error:  # or nobody would hear of any later change, for ever
                version = None  # an API server that was away may have lost its history, or been made anew
                trace = None if isinstance(error, KubeError) else error
                log.info("watch broken", kind=self._kind.kind, error=str(error), again_in=pause, exc_info=trace)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _open(self, version: str) -> Watch:
        watch = self._kube.watch(self._kind, version, self._namespace)
        with self._lock:
            self._watch = watch
            if self._stopping.is_set():
                watch.close()
        return watch
