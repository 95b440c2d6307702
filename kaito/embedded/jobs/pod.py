"""One pod that runs to its end: bound to a Node, its containers one after the other, each step in its status."""

from __future__ import annotations

import ipaddress
import secrets
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kaito.api.conditions import rfc3339
from kaito.api.resources import POD, Object
from kaito.embedded.jobs.status import PodStatus
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.revision import PodFailure, gpus_of, internal_error
from kaito.embedded.knative.sandbox import Sandbox
from kaito.embedded.knative.scheduling import Unschedulable
from kaito.embedded.process import Process
from kaito.runtime.kube import Kube, KubeError

_GRACE: Final = 5.0  # seconds a process has to end by itself
_PAUSE: Final = 2.0  # seconds until what failed for the moment is tried again
#: How much of a container's last words kubelet keeps, in bytes.
_WORDS: Final = 4096
#: Of loopback: a pod has an address of its own, so that each can listen where it likes.
_ADDRESSES: Final = ipaddress.ip_network("127.64.0.0/10")
log = structlog.get_logger()


class JobPod:
    """Runs in a thread of its own, from ``start`` to its end or ``end``."""

    def __init__(self, pod: Object, host: Host, cluster: Cluster) -> None:
        self._pod, self._host, self._cluster = pod, host, cluster
        meta = pod["metadata"]
        directory = host.directory / meta["namespace"] / meta["name"]
        self._sandbox = Sandbox(meta["namespace"], meta["name"], pod["spec"], host, directory)
        self._address = str(_ADDRESSES[secrets.randbelow(_ADDRESSES.num_addresses - 2) + 1])
        self._status = PodStatus(pod, self._address)
        self._ending = self._deleted = False
        self._wake = threading.Event()
        self._process: Process | None = None
        self._thread = threading.Thread(target=self._run, name=f"pod-{meta['name']}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def end(self, *, deleted: bool = False) -> None:
        """Ask it to end; where it was ``deleted``, it says that it is gone."""
        self._ending, self._deleted = True, self._deleted or deleted
        self._wake.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            if not self._ending and self._bound():
                self._contain()
        except Exception as error:
            failure = internal_error(error)
            log.warning("pod failed", pod=self._pod["metadata"]["name"], exc_info=error)
            self._say(self._status.failed(failure.reason, failure.message))
        finally:
            self._cluster.release(self)
            self._sandbox.remove()
        while not self._ending:  # as long as it is there, it may be deleted
            self._wake.wait()
            self._wake.clear()
        if self._deleted:
            self._forget()

    def _bound(self) -> bool:
        """Wait for a Node that fits, and take it. False where it is to end first."""
        spec, said = self._pod["spec"], ""
        while not self._ending:
            self._wake.clear()
            placed = self._cluster.bind(self, spec, gpus_of(spec))
            if not isinstance(placed, Unschedulable):
                if placed is not None and not spec.get("nodeName"):
                    _bind(self._host.kube, self._pod, placed)
                return True
            if placed.message != said:
                said = placed.message
                self._say(self._status.unschedulable(said))
            self._wake.wait()
        return False

    def _contain(self) -> None:
        spec = self._pod["spec"]
        while not self._ending:
            try:
                self._sandbox.prepare()
                break
            except (PodFailure, KubeError) as error:  # it may be created, pushed or mended meanwhile
                failure = error if isinstance(error, PodFailure) else PodFailure("CreateContainerError", str(error))
                first = next(iter(spec.get("initContainers") or spec["containers"]))
                self._say(self._status.waiting(first["name"], failure.reason, failure.message))
                self._pause()
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            if self._ending or not self._ended_well(container):
                return
        self._say(self._status.succeeded())

    def _ended_well(self, container: Object) -> bool:
        """Run it to its end. False where the pod ends by that."""
        name, words = container["name"], self._sandbox.directory / f"last-words-{container['name']}"
        words.write_text("")
        try:
            here = {"HOST": self._address, "TERMINATION_LOG": str(words), "TMPDIR": str(self._sandbox.directory)}
            started = self._sandbox.start(container, here)
        except PodFailure as failure:
            self._say(self._status.waiting(name, failure.reason, failure.message))
            self._say(self._status.failed(failure.reason, failure.message))
            return False
        process, began = started.process, rfc3339(datetime.now(UTC))
        self._say(self._status.running(name, began))
        watcher = threading.Thread(target=self._signal_end, args=(process,), daemon=True)
        watcher.start()
        try:
            while not self._ending and process.exit_code is None:
                self._wake.wait()
                self._wake.clear()
            code = process.exit_code
        finally:
            process.stop(_GRACE)
            watcher.join()
        if code is None:
            return False
        said = self._last_words(words, code, process, container)
        self._say(self._status.terminated(name, code if code >= 0 else 128 - code, said, began))
        return code == 0

    def _signal_end(self, process: Process) -> None:
        process.wait()
        self._wake.set()

    def _last_words(self, file: Path, code: int, process: Process, container: Object) -> str:
        said = file.read_bytes()[:_WORDS].decode(errors="replace")
        fallback = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        return process.tail()[-_WORDS // 2 :] if not said and code and fallback else said

    def _pause(self) -> None:
        until = time.monotonic() + _PAUSE
        while not self._ending and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()

    def _say(self, status: Object) -> None:
        """Write it, and again until the API server takes it: its Job waits for that."""
        while True:
            try:
                self._status.write(self._host.kube, status)
            except KubeError as error:
                if error.status in (404, 409, 422):  # it is gone, or another of its name is there
                    return
                log.info("pod status not written", pod=self._pod["metadata"]["name"], error=str(error))
            else:
                return
            if self._ending:
                return
            self._pause()

    def _forget(self) -> None:
        meta = self._pod["metadata"]
        try:
            self._host.kube.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"], grace_seconds=0)
        except KubeError as error:
            log.info("pod not deleted", pod=meta["name"], error=str(error))


def _bind(kube: Kube, pod: Object, node: str) -> None:
    meta = pod["metadata"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    kube.create(binding, subresource_of=POD.path(meta["namespace"], meta["name"], "binding"))
