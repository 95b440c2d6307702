"""Finds pods that have to run, and runs each in a thread of its own."""

from __future__ import annotations

import threading

from kaito.api.resources import POD, Object
from kaito.embedded.jobs.pod import JobPod
from kaito.embedded.jobs.status import is_over
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.follow import Follower
from kaito.embedded.knative.host import Host


class Kubelet:
    """Every pod of every namespace, or of one, from ``start`` to ``end``. ``cluster`` says which Nodes there are."""

    def __init__(self, host: Host, cluster: Cluster, namespace: str | None) -> None:
        self._host, self._cluster = host, cluster
        #: By uid, until the watch tells that they are over: before, it may tell again of what they were.
        self._pods: dict[str, JobPod] = {}
        self._departing: list[JobPod] = []
        self._ending = False
        self._lock = threading.Lock()
        self._follower = Follower(host.kube, POD, self._on_list, self._on_event, namespace)

    def start(self) -> None:
        self._follower.start()

    def end(self) -> None:
        """Ask every process to end. Their pods stay, and are run when this is next started."""
        self._ending = True
        self._cluster.listed.set()
        self._follower.stop()
        with self._lock:
            for uid in list(self._pods):
                self._let_go(uid)

    def join(self) -> None:
        """Return when nothing of them is left."""
        for pod in self._departing:
            pod.join()

    def wake(self) -> None:
        """A Node came, changed or went, or has room again."""
        with self._lock:
            for pod in self._pods.values():
                pod.wake()

    def _on_list(self, pods: tuple[Object, ...]) -> None:
        self._cluster.listed.wait()
        if self._ending:
            return
        present = {pod["metadata"]["uid"] for pod in pods}
        with self._lock:
            for uid in self._pods.keys() - present:
                self._let_go(uid)
        for pod in pods:
            self._see(pod)

    def _on_event(self, event: str, pod: Object) -> None:
        if event != "DELETED":
            self._see(pod)
            return
        with self._lock:
            self._let_go(pod["metadata"]["uid"])

    def _see(self, pod: Object) -> None:
        uid, deleted = pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]
        with self._lock:
            if is_over(pod) and not deleted:
                self._let_go(uid)
                return
            running = self._pods.get(uid)
            if running is None or (deleted and not running.alive):
                running = self._pods[uid] = JobPod(pod, self._host, self._cluster, deleted=deleted)
                running.start()
            elif deleted:
                running.delete()

    def _let_go(self, uid: str) -> None:
        """End it without waiting, so that one slow process does not hold up what the watch tells of the others."""
        if (pod := self._pods.pop(uid, None)) is not None:
            pod.leave()
            self._departing = [other for other in self._departing if other.alive] + [pod]
