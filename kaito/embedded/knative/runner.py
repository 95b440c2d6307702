"""Runs the API server's Knative Services, and the pods of its Jobs, as processes of this machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from kaito.api.resources import KNATIVE_SERVICE, NODE, Object
from kaito.embedded.jobs.kubelet import Kubelet
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.config import features
from kaito.embedded.knative.follow import Follower
from kaito.embedded.knative.host import NVIDIA, Host, Images
from kaito.embedded.knative.route import Backend, UnknownRoute
from kaito.embedded.knative.service import LocalService
from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube

Key = tuple[str, str]


class Runner:
    """Every Service of every namespace, or of one, from ``start`` to ``stop``.

    ``route_port`` is where the front proxy listens, ``directory`` holds the pods' files and is emptied at the start.
    ``on_change(namespace, name, state)`` is told in words what a Service does now; it must not block.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        kubeconfig: Path,
        processes: ProcessTable,
        directory: Path,
        route_port: int,
        images: Images,
        gpu_device: Path = NVIDIA,
        namespace: str | None = None,
        on_change: Callable[[str, str, str], None] = lambda *_: None,
    ) -> None:
        self._host = Host(kube, kubeconfig, processes, directory, directory.with_name("volumes"), images, gpu_device)
        self._route_port, self._on_change = route_port, on_change
        self._cluster = Cluster(released=self._wake_all)
        self._jobs = Kubelet(self._host, self._cluster, namespace)
        self._services: dict[Key, LocalService] = {}
        self._departing: list[LocalService] = []
        self._lock = threading.Lock()
        self._followers = [
            Follower(kube, NODE, self._on_nodes, self._on_node),
            Follower(kube, KNATIVE_SERVICE, self._on_services, self._on_service, namespace),
        ]
        # For probes: a new connection each time, and any certificate, as kubelet does.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(verify=False, trust_env=False, limits=limits)  # noqa: S501

    def start(self) -> None:
        """Begin; returns at once. Knative's feature flags are read now and hold until ``stop``. Raises KubeError."""
        self._cluster.features = features(self._host.kube)
        shutil.rmtree(self._host.directory, ignore_errors=True)
        self._host.directory.mkdir(parents=True)
        for follower in self._followers:
            follower.start()
        self._jobs.start()

    def stop(self) -> None:
        """End every process, all at once, and return when they are gone."""
        self._jobs.end()
        for follower in self._followers:
            follower.stop()
        with self._lock:
            services = [*self._services.values(), *self._departing]
            self._services, self._departing = {}, []
        for service in services:
            service.end()
        for service in services:
            service.join()
        self._jobs.join()
        self._client.close()

    @contextmanager
    def acquire(self, namespace: str, name: str) -> Iterator[Backend]:
        """A ready replica of that Service, held for one request. Raises RouteError."""
        with self._lock:
            service = self._services.get((namespace, name))
        if service is None:
            known = ", ".join(self.routes()) or "none yet"
            raise UnknownRoute(f"no Service {name} in namespace {namespace}; the routes here are: {known}")
        with service.acquire() as backend:
            yield backend

    def routes(self) -> list[str]:
        """The URLs of all Services."""
        with self._lock:
            return sorted(self._url(namespace, name) for namespace, name in self._services)

    def _url(self, namespace: str, name: str) -> str:
        return f"http://{name}.{namespace}.localhost:{self._route_port}"

    def _on_nodes(self, nodes: tuple[Object, ...]) -> None:
        self._cluster.replace(nodes)
        self._wake_all()

    def _on_node(self, event: str, node: Object) -> None:
        self._cluster.update(node, gone=event == "DELETED")
        self._wake_all()

    def _wake_all(self) -> None:
        with self._lock:
            for service in self._services.values():
                service.wake()
        self._jobs.wake()

    def _on_services(self, services: tuple[Object, ...]) -> None:
        self._cluster.listed.wait()
        present = {_key(service) for service in services}
        with self._lock:
            gone = [key for key in self._services if key not in present]
        for key in gone:
            self._remove(key)
        for service in services:
            self._put(service)

    def _on_service(self, event: str, service: Object) -> None:
        if event == "DELETED":
            self._remove(_key(service))
        else:
            self._put(service)

    def _put(self, service: Object) -> None:
        key = _key(service)
        with self._lock:
            running = self._services.get(key)
        if running and running.uid == service["metadata"]["uid"]:
            running.update(service)
            return
        self._remove(key)
        url = self._url(*key)
        made = LocalService(service, url, self._host, self._cluster, self._client, self._on_change)
        with self._lock:
            self._services[key] = made
            made.start()

    def _remove(self, key: Key) -> None:
        """End it without waiting, so that one slow process does not hold up what the watch tells of the others."""
        with self._lock:
            service = self._services.pop(key, None)
            if service is None:
                return
            self._departing = [other for other in self._departing if other.running] + [service]
        service.end()
        self._on_change(*key, "Deleted")


def _key(service: Object) -> Key:
    return service["metadata"]["namespace"], service["metadata"]["name"]
