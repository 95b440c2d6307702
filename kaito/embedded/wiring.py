"""Knative Eventing in one process: whatever Brokers, Triggers and sources the API server has, is run.

The manifests are the API server's, so ``kubectl apply -f my-trigger.yaml`` works here as on a cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from eventing.broker import Broker
from eventing.delivery import Address, Unresolved
from eventing.dispatch import Observer
from eventing.manifest import ManifestError
from eventing.ping import PingSources
from eventing.source import ApiServerSource
from kaito.api.resources import API_SERVER_SOURCE, BROKER, KNATIVE_SERVICE, PING_SOURCE, TRIGGER, Kind, Object
from kaito.embedded.knative.follow import Follower
from kaito.runtime.kube import Kube

_KINDS: Final = (BROKER, TRIGGER, PING_SOURCE, API_SERVER_SOURCE)
log = structlog.get_logger()


class Wiring:
    """From ``start`` to ``stop``. ``kube_as(user)`` connects with the rights of a source's service account."""

    def __init__(self, kube: Kube, kube_as: Callable[[str], Kube], route_port: int, observer: Observer) -> None:
        self._kube, self._kube_as, self._route_port = kube, kube_as, route_port
        self._broker = Broker(self._resolve, observer)
        self._pings = PingSources(self._resolve)
        self._sources: dict[tuple[str, str], tuple[Object, ApiServerSource]] = {}
        self._found: dict[Kind, dict[tuple[str, str], Object]] = {}
        self._lock = threading.Lock()
        self._followers = [self._follower(kind) for kind in _KINDS]

    def start(self) -> None:
        self._broker.start()
        for follower in self._followers:
            follower.start()

    def stop(self) -> None:
        """Sources first, so that the broker has nothing new to deliver while it drains."""
        for follower in self._followers:
            follower.stop()
        for _, source in self._sources.values():
            source.stop()
        self._pings.stop()
        self._broker.stop()

    def _follower(self, kind: Kind) -> Follower:
        def on_list(objects: tuple[Object, ...]) -> None:
            self._change(kind, {_key(obj): obj for obj in objects})

        def on_event(event: str, obj: Object) -> None:
            present = {key: known for key, known in self._found.get(kind, {}).items() if key != _key(obj)}
            self._change(kind, present if event == "DELETED" else {**present, _key(obj): obj})

        return Follower(self._kube, kind, on_list, on_event)

    def _change(self, kind: Kind, objects: Mapping[tuple[str, str], Object]) -> None:
        with self._lock:
            self._found[kind] = dict(objects)
            if not self._found.keys() >= set(_KINDS):
                return  # a Trigger without its Broker's delivery rules would be half a Trigger
            try:
                self._configure()
            except ManifestError as error:
                log.warning("manifest refused: what ran before runs on", error=str(error))

    def _configure(self) -> None:
        self._broker.configure(list(self._found[BROKER].values()), list(self._found[TRIGGER].values()))
        self._pings.set_sources(list(self._found[PING_SOURCE].values()))
        wanted = self._found[API_SERVER_SOURCE]
        for key, (manifest, source) in list(self._sources.items()):
            if key not in wanted or wanted[key]["spec"] != manifest["spec"]:
                source.stop()
                del self._sources[key]
        for key, manifest in wanted.items():
            if key not in self._sources:
                account = manifest["spec"].get("serviceAccountName", "default")
                cluster = self._kube_as(f"system:serviceaccount:{key[0]}:{account}")
                self._sources[key] = manifest, ApiServerSource(manifest, cluster, self._resolve)
                self._sources[key][1].start()

    def _resolve(self, destination: Mapping[str, Any], namespace: str) -> Address:
        """A ``ref`` to a Broker or a Knative Service, or a ``uri``."""
        reference = destination.get("ref")
        if reference is None:
            if "uri" in destination:
                return Address(str(destination["uri"]))
            raise Unresolved(f"a destination needs ref or uri, not {', '.join(destination) or 'nothing'}")
        kind, name = Kind(reference.get("apiVersion", ""), reference["kind"]), reference["name"]
        namespace = reference.get("namespace", namespace)
        if kind == BROKER:
            return self._broker.address(namespace, name)
        if kind == KNATIVE_SERVICE:
            return Address(f"http://127.0.0.1:{self._route_port}/", f"{name}.{namespace}.localhost")
        raise Unresolved(
            f"{kind.kind} {kind.api_version} cannot be a destination here: use a Broker or a Knative Service"
        )


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
