"""One bad manifest is told of and left out; the others run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import pytest

from eventing.delivery import Unresolved
from eventing.dispatch import NoObserver
from kaito.api.resources import Object
from kaito.embedded.knative.route import Backend, UnknownRoute
from kaito.embedded.knative.transport import ServiceTransport
from kaito.embedded.wiring import Wiring
from kaito.runtime.kube import Kube, KubeError, Unavailable, WatchEvent
from tests.receiver import Receiver
from tests.scripted import ScriptedCluster, ScriptedWatch, listed

Until = Callable[[Callable[[], bool]], None]
Said = tuple[str, str, str]


class LateWatch(ScriptedWatch):
    """Says nothing before ``begin``."""

    def __init__(self, lines: list[WatchEvent], begin: threading.Event) -> None:
        super().__init__(lines)
        self._begin = begin

    def __iter__(self) -> Iterator[WatchEvent]:
        self._begin.wait(10)
        yield from super().__iter__()

    def close(self) -> None:
        self._begin.set()
        super().close()


class Cluster(ScriptedCluster):
    """Lists ``objects``; tells of ``later`` when a status was written; keeps the conditions it is given.

    Its first ``refusals`` writes fail.
    """

    def __init__(self, objects: list[Object], later: list[Object], refusals: int = 0) -> None:
        self.asked_to_write = threading.Event()
        lists: dict[str, list[Any]] = {}
        watches: dict[str, list[ScriptedWatch | KubeError]] = {}
        for kind in ("Broker", "Trigger", "PingSource", "ApiServerSource"):
            lists[kind] = [listed("5", *(obj for obj in objects if obj["kind"] == kind))]
            changes = [WatchEvent("MODIFIED", obj) for obj in later if obj["kind"] == kind]
            watches[kind] = [LateWatch(changes, self.asked_to_write)]
        super().__init__("https://127.0.0.1:6443", lists, watches)
        self.said: list[Said] = []
        self.refusals = refusals

    def apply(self, obj: Object, *, manager: str, subresource: str) -> Object:
        self.asked_to_write.set()
        assert (manager, subresource) == ("kaito-embedded-knative", "status")
        if self.refusals:
            self.refusals -= 1
            raise Unavailable(0, "Unreachable", "refused")
        (ready,) = obj["status"]["conditions"]
        assert ready["type"] == "Ready"
        self.said.append((obj["metadata"]["uid"], ready["status"], ready["message"]))
        return obj


def thing(kind: str, name: str, generation: int = 1, **parts: Any) -> Object:
    group = "eventing.knative.dev/v1" if kind in ("Broker", "Trigger") else "sources.knative.dev/v1"
    meta = {"namespace": "ns", "name": name, "uid": f"{kind} {name}", "generation": generation}
    return {"apiVersion": group, "kind": kind, "metadata": {**meta, "resourceVersion": str(generation)}, **parts}


def nowhere(namespace: str, name: str) -> AbstractContextManager[Backend]:
    raise UnknownRoute(f"no Service {name} in namespace {namespace}")


@contextmanager
def running(cluster: Cluster) -> Iterator[None]:
    kube = cast("Kube", cluster)
    wiring = Wiring(kube, lambda user: kube, ServiceTransport(nowhere), NoObserver())
    wiring.start()
    try:
        yield
    finally:
        wiring.stop()


BROKER = thing("Broker", "default")
TO_BROKER = {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}
PING = thing("PingSource", "ping", spec={"schedule": "* * * * * *", "sink": TO_BROKER})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (thing("Trigger", "bad"), "Trigger ns/bad: spec: is missing"),
        (
            thing("Trigger", "bad", spec={"subscriber": {"uri": "/"}, "filters": [{"cesql": "kind ="}]}),
            "Trigger ns/bad: spec.filters[0].cesql: at 7: the end stands where a value should",
        ),
        (thing("PingSource", "bad"), "PingSource ns/bad: spec: is missing"),
        (thing("ApiServerSource", "bad"), "ApiServerSource ns/bad: spec: is missing"),
        (thing("ApiServerSource", "bad", spec={"sink": TO_BROKER}), "ApiServerSource ns/bad: spec.resources"),
        (thing("Broker", "bad", spec={"delivery": {"retry": "x"}}), "Broker ns/bad: spec.delivery.retry"),
    ],
)
def test_a_bad_manifest_says_so_and_events_flow_past_it(bad: Object, message: str, until: Until) -> None:
    with Receiver() as receiver:
        good = thing("Trigger", "good", spec={"subscriber": {"uri": receiver.url}})
        cluster = Cluster([bad, BROKER, good, PING], [])
        with running(cluster):
            assert receiver.wait(1)[0].headers["ce-type"] == "dev.knative.sources.ping"
            until(lambda: len(cluster.said) >= 4)
    said = {uid: (status, text) for uid, status, text in cluster.said}
    assert said.keys() == {obj["metadata"]["uid"] for obj in (bad, BROKER, good, PING)}
    status, text = said.pop(bad["metadata"]["uid"])
    assert (status, text[: len(message)]) == ("False", message)
    assert set(said.values()) == {("True", "")}


@pytest.mark.parametrize("refusals", [0, 1])
def test_a_status_is_written_at_a_change_only_and_again_where_that_failed(refusals: int, until: Until) -> None:
    bad = thing("Trigger", "t")
    again = thing("Trigger", "t", status={"conditions": []})  # what its status write brings back
    good = thing("Trigger", "t", 2, spec={"subscriber": {"uri": "http://127.0.0.1:9/"}})
    cluster = Cluster([bad], [again, again, good], refusals)
    with running(cluster):
        until(lambda: bool(cluster.said) and cluster.said[-1][1] == "True")
    assert [status for _, status, _ in cluster.said] == ["False", "True"]


@pytest.mark.parametrize(
    ("destination", "missing"),
    [
        ({"ref": {"name": "x"}}, "kind and name"),
        ({"ref": {"kind": "Broker"}}, "kind and name"),
        ({"ref": "x"}, "kind and name"),
        ({"ref": {"kind": "Service", "name": "x"}}, "cannot be a destination"),
        ({"url": "x"}, "ref or uri"),
    ],
)
def test_a_destination_that_leads_nowhere_is_unresolved(destination: Any, missing: str) -> None:
    kube = cast("Kube", Cluster([], []))
    wiring = Wiring(kube, lambda user: kube, ServiceTransport(nowhere), NoObserver())
    with pytest.raises(Unresolved, match=missing):
        wiring.resolve(destination, "ns")
    wiring.stop()
