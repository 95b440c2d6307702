"""The kubelets of emulated agent pools: they register Nodes, as objects that have no machine behind them, and say so.

Where a pool is gone its Nodes go, as a cluster's cloud controller sees to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import structlog

from functions.provisioner.aks.pool import LABEL_POOL
from functions.provisioner.local import PODS
from kaito.api.claims import GPU, INSTANCE_TYPE
from kaito.api.nodes import ready_status
from kaito.api.resources import NODE, Object
from kaito.runtime.kube import Kube, KubeError
from presets import Catalogue

MANAGER: Final = "kubelet"
_POLL_SECONDS: Final = 0.2

log = structlog.get_logger()


class Kubelets:
    """From ``start`` to ``stop``. ``nodes``: those that there are machines for, without what they report."""

    def __init__(self, kube: Kube, nodes: Callable[[], Iterable[Object]], catalogue: Catalogue) -> None:
        self._kube, self._nodes, self._catalogue = kube, nodes, catalogue
        self._registered: set[str] | None = None  # not known yet
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelets", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        told = ""
        while not self._stopping.wait(_POLL_SECONDS):
            try:
                self.turn()
            except KubeError as error:  # its next turn comes soon
                if str(error) != told:
                    log.warning("nodes not registered", error=str(error))
                told = str(error)

    def turn(self) -> None:
        """Register what is new, and remove what is gone."""
        if self._registered is None:
            found = self._kube.list(NODE).items
            self._registered = {
                it["metadata"]["name"] for it in found if LABEL_POOL in it["metadata"].get("labels", {})
            }
        nodes = {node["metadata"]["name"]: node for node in self._nodes()}
        for name in nodes.keys() - self._registered:
            self._kube.apply({**nodes[name], "status": self._status(nodes[name])}, manager=MANAGER)
            self._registered.add(name)
        for name in self._registered - nodes.keys():
            self._kube.delete(NODE, name)
            self._registered.discard(name)

    def _status(self, node: Object) -> Object:
        """With the GPUs of its instance type, as the device plugin adds them."""
        sku = self._catalogue.sku(node["metadata"]["labels"][INSTANCE_TYPE])
        offered = {"pods": PODS, **({GPU: str(sku.gpus)} if sku and sku.gpus else {})}
        message = "registered by the emulated Azure: no machine and no kubelet behind it"
        return ready_status(offered, "KubeletReady", message, datetime.now(UTC))
