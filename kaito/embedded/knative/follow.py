"""List and watch one kind for as long as the platform lives, through restarts of the API server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from kaito.api.resources import Kind, Object
from kaito.runtime.kube import Gone, Kube, KubeError

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
#: Seconds. Short, because a watch that waits cannot be interrupted and outlives ``stop`` by this much.
WATCH: Final = 20

log = structlog.get_logger()


def follow(
    kube: Kube,
    kind: Kind,
    stop: threading.Event,
    on_list: Callable[[tuple[Object, ...]], None],
    on_event: Callable[[str, Object], None],
) -> None:
    """Call ``on_list`` with everything there is, then ``on_event`` (ADDED, MODIFIED, DELETED) until ``stop``."""
    pause = FIRST_PAUSE
    while not stop.is_set():
        try:
            listed = kube.list(kind)
            if stop.is_set():
                return
            on_list(listed.items)
            pause, version = FIRST_PAUSE, listed.resource_version
            while not stop.is_set():
                for event in kube.watch(kind, version, timeout=WATCH):
                    if stop.is_set():
                        return
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        on_event(event.type, event.object)
        except Gone:
            continue
        except KubeError as error:
            log.info("watch broken", kind=kind.kind, error=str(error), again_in=pause)
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
