"""Knative Eventing in one process: whatever Brokers, Triggers and sources the API server has, is run.

The manifests are the API server's, so ``kubectl apply -f my-trigger.yaml`` works here as on a cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from eventing.broker import Broker
from eventing.delivery import Unresolved
from eventing.dispatch import Observer
from eventing.manifest import ManifestError, Refused, label, sift
from eventing.ping import PingSources
from eventing.source import ApiServerSource, user
from kaito.api.conditions import conditions_of, settle
from kaito.api.meta import Condition
from kaito.api.resources import API_SERVER_SOURCE, BROKER, KNATIVE_SERVICE, PING_SOURCE, TRIGGER, Kind, Object
from kaito.api.status import identity
from kaito.embedded.knative.follow import Follower
from kaito.embedded.knative.publish import MANAGER
from kaito.embedded.knative.transport import CLUSTER_LOCAL, ServiceTransport
from kaito.runtime.kube import Kube, KubeError

_KINDS: Final = (BROKER, TRIGGER, PING_SOURCE, API_SERVER_SOURCE)
log = structlog.get_logger()


class Wiring:
    """From ``start`` to ``stop``. ``kube_as(user)`` connects with the rights of a source's service account.

    Events for Knative Services go by ``services`` to their processes, with no proxy between.
    """

    def __init__(
        self, kube: Kube, kube_as: Callable[[str], Kube], services: ServiceTransport, observer: Observer
    ) -> None:
        self._kube, self._kube_as = kube, kube_as
        self._services = services
        self._broker = Broker(self.resolve, observer, mounts={f"http://*{CLUSTER_LOCAL}": self._services})
        self._pings = PingSources(self.resolve, mounts=self._broker.mounts)
        self._sources: dict[tuple[str, str], tuple[Object, ApiServerSource]] = {}
        self._said: dict[str, Condition | None] = {}
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
        self._services.end()

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
            self._configure()

    def _configure(self) -> None:
        """Run what is good; what is bad says so in its status, and stands in nobody's way."""
        found = {kind: list(objects.values()) for kind, objects in self._found.items()}
        refused = (
            self._broker.configure(found[BROKER], found[TRIGGER])
            | self._pings.set_sources(found[PING_SOURCE])
            | self._set_sources(self._found[API_SERVER_SOURCE])
        )
        present = [obj for objects in found.values() for obj in objects]
        self._said = {obj["metadata"]["uid"]: self._say(obj, refused.get(label(obj))) for obj in present}

    def _set_sources(self, wanted: Mapping[tuple[str, str], Object]) -> Refused:
        for key, (manifest, source) in list(self._sources.items()):
            if key not in wanted or wanted[key].get("spec") != manifest["spec"]:
                source.stop()
                del self._sources[key]
        new = [manifest for key, manifest in wanted.items() if key not in self._sources]
        made, refused = sift(new, lambda manifest: (dict(manifest), self._source(manifest)))
        for manifest, source in made:
            self._sources[_key(manifest)] = manifest, source
            source.start()
        return refused

    def _source(self, manifest: Mapping[str, Any]) -> ApiServerSource:
        return ApiServerSource(manifest, self._kube_as(user(manifest)), self.resolve, self._broker.mounts)

    def _say(self, obj: Object, problem: ManifestError | None) -> Condition | None:
        """Write the Ready condition if it is another than the last time; None where that is to be tried again."""
        meta = obj["metadata"]
        ready = Condition(
            type="Ready",
            status="False" if problem else "True",
            reason="ManifestRefused" if problem else "Configured",
            message=str(problem or ""),
            observed_generation=meta.get("generation", 0),
        )
        if self._said.get(meta["uid"]) == ready:
            return ready
        if problem:
            log.warning("manifest refused", object=label(obj), field=problem.field, reason=problem.reason)
        status = {"conditions": settle([ready], conditions_of(obj), datetime.now(UTC))}
        try:
            self._kube.apply({**identity(obj), "status": status}, manager=MANAGER, subresource="status")
        except KubeError as error:
            log.warning("status not written", object=label(obj), error=str(error))
            return None
        return ready

    def resolve(self, destination: Mapping[str, Any], namespace: str) -> str:
        """A ``ref`` to a Broker or a Knative Service, or a ``uri``."""
        reference = destination.get("ref")
        if reference is None:
            if "uri" in destination:
                return str(destination["uri"])
            raise Unresolved(f"a destination needs ref or uri, not {', '.join(destination) or 'nothing'}")
        if not isinstance(reference, Mapping) or not (reference.get("kind") and reference.get("name")):
            raise Unresolved("a destination's ref needs kind and name")
        kind, name = Kind(reference.get("apiVersion", ""), reference["kind"]), reference["name"]
        namespace = reference.get("namespace", namespace)
        if kind == BROKER:
            return self._broker.address(namespace, name)
        if kind == KNATIVE_SERVICE:
            return f"http://{name}.{namespace}{CLUSTER_LOCAL}/"
        raise Unresolved(
            f"{kind.kind} {kind.api_version} cannot be a destination here: use a Broker or a Knative Service"
        )


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
