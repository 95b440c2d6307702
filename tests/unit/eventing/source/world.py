"""What a source in a pod lives among: a store of the test's own, an API server that knows addresses, manifests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from eventing.source.ledger import Ledger
from eventing.source.spool import Spool
from eventing.source.store import Store
from kaito.api.resources import Kind, Object
from kaito.runtime.kube import KubeError
from tests.receiver import Received

MOST = 1 << 20


def node(name: str, version: int, uid: str = "", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid or name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, **fields}


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Opened:
    """A store with a spool, and the ledger of one kind. Its time is ``clock`` unless it is told another."""

    def __init__(
        self, directory: Path, *, mode: Any = "Resource", most: int = MOST, time: Callable[[], float] | None = None
    ) -> None:
        self.clock = Clock()
        self.store = Store(directory)
        self.spool = Spool(self.store, time or self.clock, most)
        self.woken = 0
        self.ledger = Ledger("nodes", mode, self.store, self.spool, self._wake)

    def waits(self) -> list[tuple[str, str, str]]:
        """(verb, name, resourceVersion) of all that would be sent by one sender, in that order; they wait on."""
        found: list[tuple[str, str, str]] = []
        in_flight: list[Any] = []
        while waiting := self.spool.next(in_flight):
            in_flight.append(waiting.place)
            metadata = waiting.change.object["metadata"]
            found.append((waiting.change.verb, metadata["name"], metadata["resourceVersion"]))
        return found

    def send(self) -> tuple[str, str, str]:
        """The next one is taken by the sink."""
        waiting = self.spool.next([])
        assert waiting is not None
        self.spool.sent(waiting)
        metadata = waiting.change.object["metadata"]
        return waiting.change.verb, metadata["name"], metadata["resourceVersion"]

    def _wake(self) -> None:
        self.woken += 1


def figure(name: str) -> float:
    """What is said of that to Prometheus."""
    found = REGISTRY.get_sample_value(name)
    assert found is not None
    return found


class Addresses:
    """Has what it is given, by kind, namespace and name."""

    def __init__(self, *objects: tuple[str, Object | KubeError]) -> None:
        self.objects = dict(objects)
        self.asked: list[str] = []

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        self.asked.append(f"{kind.kind} {namespace}/{name}")
        found = self.objects.get(self.asked[-1])
        if isinstance(found, KubeError):
            raise found
        return found


def manifest(**spec: Any) -> Object:
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "ApiServerSource",
        "metadata": {"name": "kaito", "namespace": "kaito-system"},
        "spec": {
            "mode": "Resource",
            "namespaceSelector": {},
            "resources": [{"apiVersion": "v1", "kind": "Node"}],
            "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "kaito"}},
            **spec,
        },
    }


def told(received: list[Received]) -> list[tuple[str, str]]:
    return [(one.headers["ce-type"].rpartition(".")[2], one.headers["ce-name"]) for one in received]
