"""One pod that runs to its end: bound to a Node, its containers one after the other, each step in its status."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from kaito.api.conditions import rfc3339
from kaito.api.resources import POD, Object
from kaito.embedded.jobs.status import PodStatus, is_over
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.revision import PodFailure, gpus_of, internal_error
from kaito.embedded.knative.sandbox import NOT_RUN, Sandbox
from kaito.embedded.knative.scheduling import Unschedulable
from kaito.embedded.process import Process
from kaito.runtime.kube import Kube, KubeError

_GRACE: Final = 5.0  # seconds a process has to end by itself
_PAUSE: Final = 2.0  # seconds until what failed for the moment is tried again
#: How much of a container's last words kubelet keeps, in bytes.
_WORDS: Final = 4096
#: The exit code of what could not be started, as container runtimes have it.
_NOT_STARTED: Final = 128
#: Of loopback: a pod has an address of its own, so that each can listen where it likes.
_ADDRESSES: Final = ipaddress.ip_network("127.64.0.0/10")
log = structlog.get_logger()


class JobPod:
    """Runs in a thread of its own, from ``start`` to its end, or until it is to end.

    ``deleted``: it is to end from the first, and never runs.
    """

    def __init__(self, pod: Object, host: Host, cluster: Cluster, *, deleted: bool) -> None:
        self._pod, self._host, self._cluster = pod, host, cluster
        meta, spec = pod["metadata"], pod["spec"]
        self._containers = (*(spec.get("initContainers") or ()), *spec["containers"])
        # With a part of its uid: one of its name that was deleted may be ending still.
        directory = host.directory / meta["namespace"] / f"{meta['name']}-{meta['uid'][:8]}"
        self._sandbox = Sandbox(meta["namespace"], spec, host, directory)
        self._address = str(_ADDRESSES[secrets.randbelow(_ADDRESSES.num_addresses - 2) + 1])
        self._status = PodStatus(pod, self._address)
        self._node: str | None = spec.get("nodeName")
        self._over = is_over(pod)
        self._deleted, self._orphaned, self._left = deleted, False, False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pod-{meta['name']}", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """A Node came, changed or went, or has room again: where it was this pod's own, the pod goes with it."""
        if self._node and not self._over and not self._cluster.has(self._node):
            self._orphaned = True
        self._wake.set()

    def delete(self) -> None:
        """It was deleted: ask it to end, and to say that it is gone."""
        self._deleted = True
        self._wake.set()

    def leave(self) -> None:
        """Ask it to end as it is: its pod is gone, or over, or to be run again another time."""
        self._left = True
        self._wake.set()

    def join(self) -> None:
        self._thread.join()

    @property
    def _ending(self) -> bool:
        return self._deleted or self._orphaned or self._left

    def _run(self) -> None:
        try:
            self.wake()  # its Node may have gone while nobody looked
            if not self._ending and self._bound():
                self._contain()
        except Exception as error:
            failure = internal_error(error)
            log.warning("pod failed", pod=self._pod["metadata"]["name"], exc_info=error)
            self._say(self._status.failed(failure.reason, failure.message))
        finally:
            self._cluster.release(self)
            self._sandbox.remove()
        if self._deleted or self._orphaned:
            self._forget()

    def _bound(self) -> bool:
        """Wait for a Node that fits, and take it. False where it is to end first."""
        spec, said = self._pod["spec"], ""
        while not self._ending:
            placed = self._cluster.bind(self, spec, gpus_of(spec))
            if isinstance(placed, Unschedulable):
                if placed.message != said:
                    said = placed.message
                    self._say(self._status.unschedulable(said))
                self._wake.wait()
                self._wake.clear()
                continue
            if placed is None or self._node:
                return True
            try:
                _bind(self._host.kube, self._pod, placed)
            except KubeError as error:
                log.info("pod not bound", pod=self._pod["metadata"]["name"], error=str(error))
                self._cluster.release(self)
                self._pause()
            else:
                self._node = placed
                self.wake()  # it may have gone meanwhile
                return True
        return False

    def _contain(self) -> None:
        if (self._pod.get("status") or {}).get("containerStatuses"):
            self._say(self._status.anew())
        self._say(self._status.creating())
        while not self._ending:
            try:
                self._sandbox.prepare()
                break
            except (PodFailure, KubeError) as error:
                self._wait_for(self._containers[0], error)
        for container in self._containers:
            if self._ending or not self._ended_well(container):
                return
        self._say(self._status.succeeded())

    def _ended_well(self, container: Object) -> bool:
        """Run it to its end. False where the pod ends by that."""
        name, words = container["name"], self._sandbox.directory / f"last-words-{container['name']}"
        words.write_text("")
        began = rfc3339(datetime.now(UTC))
        try:
            process = self._started(container, words)
        except PodFailure as failure:
            self._say(self._status.terminated(name, _NOT_STARTED, failure.message, began, reason="StartError"))
            return False
        if process is None:
            return False
        watcher = threading.Thread(target=self._signal_end, args=(process,), daemon=True)
        watcher.start()
        try:
            self._say(self._status.running(name, began))
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

    def _started(self, container: Object, words: Path) -> Process | None:
        """None where it is to end first. Raises PodFailure where it can never be run."""
        here = {"HOST": self._address, "TERMINATION_LOG": str(words), "TMPDIR": str(self._sandbox.directory)}
        meta = self._pod["metadata"]
        log_name = f"{meta['namespace']}.{meta['name']}.{container['name']}"
        while not self._ending:
            try:
                return self._sandbox.start(container, here, log_name).process
            except (PodFailure, KubeError) as error:
                if isinstance(error, PodFailure) and error.reason == NOT_RUN:
                    raise
                self._wait_for(container, error)
        return None

    def _wait_for(self, container: Object, error: PodFailure | KubeError) -> None:
        """Say what it lacks, which may be created, pushed or mended meanwhile, and let a while go by."""
        failure = error if isinstance(error, PodFailure) else PodFailure("CreateContainerError", str(error))
        self._say(self._status.waiting(container["name"], failure.reason, failure.message))
        self._pause()

    def _signal_end(self, process: Process) -> None:
        process.wait()
        self._wake.set()

    def _last_words(self, file: Path, code: int, process: Process, container: Object) -> str:
        said = ""
        with (
            contextlib.suppress(OSError),
            file.open("rb") as content,
        ):  # the container may have done with it as it likes
            said = content.read(_WORDS).decode(errors="replace")
        fallback = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        return process.tail()[-_WORDS // 2 :] if not said and code and fallback else said

    def _pause(self) -> None:
        """A while, unless it is to end, or to be left, before that."""
        asked, until = self._ending, time.monotonic() + _PAUSE
        while self._ending == asked and not self._left and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()

    def _say(self, status: Object) -> None:
        self._over = self._over or is_over({"status": status})
        self._persist("pod status not written", lambda: self._status.write(self._host.kube, status))

    def _forget(self) -> None:
        """What the API server keeps of a pod until its kubelet says that nothing of it is left."""
        meta, kube = self._pod["metadata"], self._host.kube
        if not self._over:  # its Job may wait for that before it makes another
            self._say(self._status.ended(node=self._node if self._orphaned else None))
        self._persist(
            "pod not deleted",
            lambda: kube.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"], grace_seconds=0),
        )

    def _persist(self, problem: str, write: Callable[[], None]) -> None:
        """Again until the API server takes it, or the pod is left: its Job waits for that."""
        while True:
            try:
                write()
            except KubeError as error:
                log.info(problem, pod=self._pod["metadata"]["name"], error=str(error))
                if error.permanent or self._left:
                    return
                self._pause()
            else:
                return


def _bind(kube: Kube, pod: Object, node: str) -> None:
    meta = pod["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": meta["uid"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    try:
        kube.create(binding, subresource_of=POD.path(namespace, name, "binding"))
    except KubeError:
        found = kube.get(POD, name, namespace)  # an answer may get lost
        if found is None or found["metadata"]["uid"] != meta["uid"] or found["spec"].get("nodeName") != node:
            raise
