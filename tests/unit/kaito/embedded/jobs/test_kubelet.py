from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kaito.api.resources import Kind, Object
from kaito.embedded.jobs.kubelet import Kubelet
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.host import Host, Images
from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Conflict, KubeError, ObjectList, Unavailable, WatchEvent

Until = Callable[[Callable[[], bool]], None]
FOR_EVER = ("python", "-c", "import threading; threading.Event().wait()")


class Api:
    """Pods as the test lists and tells of them; what is written is kept. ``refusals`` come before the next writes."""

    def __init__(self, *pods: Object) -> None:
        self.pods, self.events = pods, queue.Queue[WatchEvent | None]()
        self.phases: list[tuple[str, str]] = []
        self.deleted: list[tuple[str, int | None]] = []
        self.bound: dict[str, str] = {}
        self.refusals: list[KubeError] = []

    def list(self, kind: Kind, namespace: str | None) -> ObjectList:
        return ObjectList(self.pods, "1")

    def watch(self, kind: Kind, version: str, namespace: str | None) -> Any:
        return self

    def __iter__(self) -> Iterator[WatchEvent]:
        while (event := self.events.get()) is not None:
            yield event

    def close(self) -> None:
        self.events.put(None)

    def tell(self, event: str, pod: Object, phase: str = "") -> None:
        self.events.put(WatchEvent(event, {**pod, "status": {"phase": phase}}))

    def apply(self, obj: Object, **_: Any) -> Object:
        self._refuse()
        self.phases.append((obj["metadata"]["name"], obj["status"]["phase"]))
        return obj

    def delete(self, kind: Kind, name: str, namespace: str, *, uid: str, grace_seconds: int) -> None:
        self._refuse()
        self.deleted.append((name, grace_seconds))

    def create(self, obj: Object, *, subresource_of: str) -> Object:
        self.bound[obj["metadata"]["name"]] = obj["target"]["name"]
        self._refuse()
        return obj

    def get(self, kind: Kind, name: str, namespace: str) -> Object:
        return pod(name, nodeName=self.bound.get(name))

    def _refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)


def pod(name: str, *command: str, deleted: bool = False, phase: str = "", **spec: Any) -> Object:
    meta: Object = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "1"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    container = {"name": "main", "image": "i", "command": command or ("true",)}
    status = {"phase": phase}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [container], **spec},
        "status": status,
    }


def node(name: str) -> Object:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Kubelet]]:
    """Starts a kubelet for that API, with these Nodes; it ends with the test, and leaves no thread."""
    monkeypatch.setattr("kaito.embedded.jobs.pod._PAUSE", 0.01)
    started: list[Kubelet] = []

    def start(api: Api, *nodes: Object, cluster: Cluster | None = None) -> Kubelet:
        images = cast("Images", None)
        host = Host(cast("Any", api), tmp_path, ProcessTable(tmp_path), tmp_path / "pods", tmp_path, images, tmp_path)
        cluster = cluster or Cluster()
        if nodes:
            cluster.replace(nodes)
        started.append(Kubelet(host, cluster, None))
        started[-1].start()
        return started[-1]

    yield start
    for kubelet in started:
        kubelet.end()
        kubelet.join()
    assert _running() == []


def test_what_the_watch_tells_late_does_not_run_a_pod_again(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(first := pod("first"))
    run(api, node("n"))
    until(lambda: ("first", "Succeeded") in api.phases)
    api.tell("MODIFIED", first, "Pending")
    api.tell("MODIFIED", first, "Running")
    api.tell("MODIFIED", first, "Succeeded")
    api.tell("MODIFIED", first, "Succeeded")
    api.tell("ADDED", pod("second"))
    until(lambda: ("second", "Succeeded") in api.phases)
    assert [phase for name, phase in api.phases if name == "first"] == ["Pending", "Running", "Running", "Succeeded"]


def test_what_is_over_is_not_run(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(pod("good", phase="Succeeded"), pod("bad", phase="Failed"), pod("new"))
    run(api, node("n"))
    until(lambda: ("new", "Succeeded") in api.phases)
    assert {name for name, _ in api.phases} == {"new"}


def test_what_was_deleted_is_let_go_and_not_run(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(pod("waits", deleted=True), pod("done", deleted=True, phase="Succeeded"))
    run(api, node("n"))
    until(lambda: len(api.deleted) == 2)
    assert sorted(api.deleted) == [("done", 0), ("waits", 0)]
    assert api.phases == [("waits", "Failed")]


@pytest.mark.parametrize("event", ["DELETED", "MODIFIED"])
def test_what_goes_or_is_failed_by_others_ends(
    run: Callable[..., Kubelet], until: Until, event: str, tmp_path: Path
) -> None:
    api = Api(first := pod("first", *FOR_EVER))
    run(api, node("n"))
    until(lambda: ("first", "Running") in api.phases)
    api.tell(event, first, "Failed")
    until(lambda: not list((tmp_path / "pods" / "ns").iterdir()))
    assert (api.phases[-1], api.deleted) == (("first", "Running"), [])


def test_a_deleted_pod_fails_and_then_goes(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(pod("first", *FOR_EVER))
    run(api, node("n"))
    until(lambda: ("first", "Running") in api.phases)
    api.refusals = [Unavailable(0, "Unreachable", "it is away") for _ in range(3)]
    api.tell("MODIFIED", pod("first", *FOR_EVER, deleted=True), "Running")
    until(lambda: api.deleted == [("first", 0)])
    assert api.phases[-1] == ("first", "Failed")


def test_a_step_is_said_until_the_api_server_takes_it(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(pod("first"))
    api.refusals = [Unavailable(0, "Unreachable", "it is away"), Unavailable(500, "Internal", "it is ill")]
    run(api, node("n"))
    until(lambda: ("first", "Succeeded") in api.phases)
    assert [phase for _, phase in api.phases] == ["Pending", "Running", "Running", "Succeeded"]
    assert api.refusals == []


def test_a_pod_is_bound_though_the_answer_is_lost(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(pod("first", nodeSelector={}, affinity=_anywhere()))
    api.refusals = [Unavailable(0, "Unreachable", "it is away")]
    run(api, node("n"))
    until(lambda: ("first", "Succeeded") in api.phases)
    assert api.bound == {"first": "n"}


def test_nothing_is_run_until_the_nodes_are_known(run: Callable[..., Kubelet], until: Until) -> None:
    api, cluster = Api(pod("first", nodeName="n")), Cluster()
    kubelet = run(api, cluster=cluster)
    kubelet.wake()
    assert api.phases == []
    cluster.replace([node("n")])
    until(lambda: ("first", "Succeeded") in api.phases)
    assert "Failed" not in [phase for _, phase in api.phases]


def test_a_kubelet_that_ends_before_the_nodes_are_known_says_nothing(run: Callable[..., Kubelet]) -> None:
    api = Api(pod("first", nodeName="n"))
    kubelet = run(api, cluster=Cluster())
    kubelet.end()
    kubelet.join()
    assert (api.phases, api.deleted) == ([], [])


def test_a_node_that_goes_takes_its_pod_with_it(run: Callable[..., Kubelet], until: Until) -> None:
    api, cluster = Api(pod("first", *FOR_EVER, nodeName="n"), pod("other", *FOR_EVER)), Cluster()
    cluster.replace([node("n")])
    kubelet = run(api, cluster=cluster)
    until(lambda: {("first", "Running"), ("other", "Running")} <= {*api.phases})
    cluster.update(node("n"), gone=True)
    kubelet.wake()
    until(lambda: api.deleted == [("first", 0)])
    assert ("first", "Failed") in api.phases
    assert ("other", "Failed") not in api.phases


def test_a_pod_that_another_has_replaced_is_left_once_the_watch_tells(
    run: Callable[..., Kubelet], until: Until
) -> None:
    api = Api(first := pod("first"))
    api.refusals = [Conflict(409, "Conflict", "the uid is another") for _ in range(3)]
    run(api, node("n"))
    until(lambda: not api.refusals)
    api.tell("DELETED", first)
    api.tell("ADDED", {**first, "metadata": {**first["metadata"], "uid": "another"}})
    until(lambda: api.phases.count(("first", "Succeeded")) >= 1)
    assert api.deleted == []


def test_what_is_over_is_not_held(run: Callable[..., Kubelet], until: Until) -> None:
    api = Api(*(pods := [pod(f"pod-{number}") for number in range(3)]))
    kubelet = run(api, node("n"))
    for it in pods:
        until(lambda name=it["metadata"]["name"]: (name, "Succeeded") in api.phases)  # type: ignore[misc]
        api.tell("MODIFIED", it, "Succeeded")
    until(lambda: not kubelet._pods and not _running())
    api.tell("ADDED", last := pod("last"))
    until(lambda: ("last", "Succeeded") in api.phases)
    api.tell("MODIFIED", last, "Succeeded")
    until(lambda: len(kubelet._departing) == 1)


def test_what_nobody_foresaw_fails_the_pod_and_no_other(
    run: Callable[..., Kubelet], until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: object) -> None:
        raise KeyError("of all things")

    with monkeypatch.context() as patch:
        patch.setattr("kaito.embedded.jobs.pod.Sandbox.prepare", surprise)
        api = Api(pod("first"))
        run(api, node("n"))
        until(lambda: ("first", "Failed") in api.phases)
    api.tell("ADDED", pod("second"))
    until(lambda: ("second", "Succeeded") in api.phases)
    assert api.phases.count(("first", "Failed")) == 1


def _running() -> list[str]:
    return [it.name for it in threading.enumerate() if it.name.startswith("pod-")]


def _anywhere() -> Object:
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "Exists"}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
