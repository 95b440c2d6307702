"""The fast sweep: a PingSource that a function keeps only while something is unsettled, or may be unheard."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from kaito.api.conditions import conditions_of
from kaito.api.resources import PING_SOURCE, TRIGGER, Kind, Object
from kaito.runtime.kube import Kube, KubeError

NAMESPACE = "kaito-system"
log = structlog.get_logger()


class FastSweep:
    """Has the PingSource ``manifest`` there or not; nothing where that is None."""

    def __init__(self, manifest: Object | None, kube: Kube, manager: str) -> None:
        self._manifest, self._kube, self._manager = manifest, kube, manager
        self._lock = threading.Lock()
        self._on: bool | None = None  # not known at start, nor after a write that failed

    def switch(self, wanted: Callable[[], bool | None]) -> bool:
        """On or off, as ``wanted`` says when it is this call's turn: writes come in the order of the decisions. None
        leaves it as it is. Returns whether there was anything to write."""
        if self._manifest is None:
            return False
        with self._lock:
            on = wanted()
            if on is None or on == self._on:
                return False
            self._on = on
            meta = self._manifest["metadata"]
            try:
                if on:
                    self._kube.apply(self._manifest, manager=self._manager)
                else:
                    self._kube.delete(Kind.of(self._manifest), meta["name"], meta["namespace"])
            except KubeError as error:
                self._on = None
                log.warning("fast sweep not switched", on=on, error=str(error))
            return True


def fast_sweep(function: str) -> Object:
    """Every 30 seconds, straight to the function: other functions need not hear of it."""
    return {
        "apiVersion": PING_SOURCE.api_version,
        "kind": PING_SOURCE.kind,
        "metadata": {"name": f"{function}-fast", "namespace": NAMESPACE},
        "spec": {
            "schedule": "*/30 * * * * *",
            "sink": {
                "ref": {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Service",
                    "name": function,
                    "namespace": NAMESPACE,
                }
            },
        },
    }


def hears(kube: Kube, function: str) -> bool:
    """May events reach the function? Not while its Trigger is being set up: what happens then, nobody is told of.

    Where there is no Trigger of its name, something else than Knative delivers.
    """
    ready = conditions_of(kube.get(TRIGGER, function, NAMESPACE) or {}).get("Ready")
    return ready is None or ready.status == "True"
