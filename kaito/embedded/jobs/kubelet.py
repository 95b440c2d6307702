"""Finds pods that have to run, and runs each in a thread of its own."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from kaito.api.resources import POD, Object
from kaito.embedded.jobs.pod import JobPod
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.follow import Follower
from kaito.embedded.knative.host import Host

_OVER: Final = ("Succeeded", "Failed")
log = structlog.get_logger()


class Kubelet:
    """Every pod of every namespace, or of one, from ``start`` to ``stop``. ``cluster`` says which Nodes there are."""

    def __init__(self, host: Host, cluster: Cluster, namespace: str | None) -> None:
        self._host, self._cluster = host, cluster
        self._pods: dict[str, JobPod] = {}
        self._lock = threading.Lock()
        self._follower = Follower(host.kube, POD, self._on_list, self._on_event, namespace)

    def start(self) -> None:
        self._follower.start()

    def stop(self) -> None:
        """End every process, and return when they are gone. Their pods stay, and are run when this is next started."""
        self._follower.stop()
        with self._lock:
            pods, self._pods = list(self._pods.values()), {}
        for pod in pods:
            pod.end()
        for pod in pods:
            pod.join()

    def wake(self) -> None:
        """A Node came, changed or went, or has room again."""
        with self._lock:
            for pod in self._pods.values():
                pod.wake()

    def _on_list(self, pods: tuple[Object, ...]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        with self._lock:
            gone = [running for uid, running in self._pods.items() if uid not in present]
        for running in gone:
            running.end()
        for pod in pods:
            self._see(pod)

    def _on_event(self, event: str, pod: Object) -> None:
        if event != "DELETED":
            self._see(pod)
            return
        with self._lock:
            running = self._pods.pop(pod["metadata"]["uid"], None)
        if running:
            running.end()

    def _see(self, pod: Object) -> None:
        uid, over = pod["metadata"]["uid"], (pod.get("status") or {}).get("phase") in _OVER
        with self._lock:
            running = self._pods.get(uid)
            if running is None and (not over or pod["metadata"].get("deletionTimestamp")):
                running = self._pods[uid] = JobPod(pod, self._host, self._cluster)
                running.start()
        if running and pod["metadata"].get("deletionTimestamp"):
            running.end(deleted=True)
