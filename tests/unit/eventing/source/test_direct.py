from __future__ import annotations

import threading
from typing import Any

import pytest

from eventing.delivery import Unresolved
from eventing.manifest import ManifestError
from eventing.source import ApiServerSource, user
from kaito.runtime.kube import Gone, KubeError, Unavailable, WatchEvent
from tests.receiver import Received, Receiver
from tests.scripted import Listed, ScriptedCluster, ScriptedWatch, listed

Lists = dict[str, list[Listed]]
Watches = dict[str, list[ScriptedWatch | KubeError]]
SERVER = "https://127.0.0.1:6443"


def source(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "ApiServerSource",
        "metadata": {"namespace": "kaito-system", "name": "watcher"},
        "spec": {
            "mode": "Resource",
            "serviceAccountName": "kaito-events",
            "namespaceSelector": {},
            "resources": [{"apiVersion": "v1", "kind": "Node"}],
            "sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}},
            **spec,
        },
    }


def node(name: str, version: int, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def told(received: list[Received]) -> list[tuple[str, str]]:
    return [(one.headers["ce-type"].rpartition(".")[2], one.headers["ce-name"]) for one in received]


def run(
    lists: Lists, watches: Watches, count: int, receiver: Receiver, manifest: dict[str, Any] | None = None
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str | None, str]]]:
    """What a source tells of this script, and what it asked of the API server up to then."""
    cluster = ScriptedCluster(SERVER, lists, watches)
    running = ApiServerSource(manifest or source(), cluster, lambda sink, namespace: receiver.url)
    with receiver:
        running.start()
        received = receiver.wait(count)
        running.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("source ")]
    return told(received), list(cluster.asked.queue)


def test_it_lists_then_watches_from_there() -> None:
    lists: Lists = {"Node": [listed("5", node("a", 3))]}
    watches: Watches = {
        "Node": [ScriptedWatch([WatchEvent("MODIFIED", node("a", 6)), WatchEvent("ADDED", node("b", 7))])]
    }
    events, asked = run(lists, watches, 3, Receiver())
    assert events == [("add", "a"), ("update", "a"), ("add", "b")]
    assert asked == [("list", "Node", None, ""), ("watch", "Node", None, "5")]


def test_an_ended_watch_goes_on_from_the_last_version_also_of_a_bookmark() -> None:
    ends = ScriptedWatch([WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), None])
    watches: Watches = {"Node": [ends, ScriptedWatch([WatchEvent("ADDED", node("b", 10))])]}
    events, asked = run({"Node": [listed("5")]}, watches, 1, Receiver())
    assert events == [("add", "b")]
    assert [call[3] for call in asked] == ["", "5", "9"]


def test_an_api_server_that_goes_away_is_waited_for_and_nothing_is_told_twice() -> None:
    lists: Lists = {"Node": [Unavailable(0, "Unreachable", "refused"), listed("5", node("a", 3))]}
    watches: Watches = {
        "Node": [
            ScriptedWatch([WatchEvent("ADDED", node("b", 6)), Unavailable(0, "WatchBroken", "reset")]),
            Unavailable(0, "Unreachable", "refused"),
            ScriptedWatch([WatchEvent("DELETED", node("b", 7))]),
        ]
    }
    events, asked = run(lists, watches, 3, Receiver())
    assert events == [("add", "a"), ("add", "b"), ("delete", "b")]
    assert [call[3] for call in asked] == ["", "", "5", "6", "6"]


@pytest.mark.parametrize("error", [Gone(410, "Expired", "too old"), Unavailable(504, "Timeout", "too large")])
def test_a_version_the_server_lacks_is_listed_again_and_only_the_difference_told(error: KubeError) -> None:
    lists: Lists = {"Node": [listed("5", node("a", 3), node("b", 4)), listed("20", node("b", 15), node("c", 16))]}
    events, asked = run(lists, {"Node": [error]}, 5, Receiver())
    assert events == [("add", "a"), ("add", "b"), ("delete", "a"), ("update", "b"), ("add", "c")]
    assert [call[0] for call in asked][:3] == ["list", "watch", "list"]


def test_a_kind_that_is_not_installed_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventing.source.reflector._ABSENT_WAIT", 0.01)
    lists: Lists = {
        "Node": [KubeError(404, "NotFound", ""), KubeError(403, "Forbidden", ""), listed("5", node("a", 3))]
    }
    events, _ = run(lists, {}, 1, Receiver())
    assert events == [("add", "a")]


@pytest.mark.parametrize(("status", "told_again"), [(503, True), (404, True), (500, False), (400, False)])
def test_what_the_sink_does_not_take_is_tried_again_or_dropped(status: int, told_again: bool) -> None:
    receiver = Receiver(lambda received, count: ("", status if count == 0 else 202))
    events, _ = run({"Node": [listed("5", node("a", 3), node("b", 4))]}, {}, 3 if told_again else 2, receiver)
    assert events == [("add", "a")] * (2 if told_again else 1) + [("add", "b")]


def test_resources_selectors_and_namespaces() -> None:
    resources = [
        {"apiVersion": "v1", "kind": "Node", "selector": {"matchLabels": {"app": "x"}}},
        {"apiVersion": "v1", "kind": "Secret"},
    ]
    manifest = source(resources=resources, mode="Reference")
    del manifest["spec"]["namespaceSelector"]
    lists: Lists = {"Node": [listed("5", node("a", 3, app="x"), node("b", 4))]}
    events, asked = run(lists, {}, 1, Receiver(), manifest)
    assert events == [("add", "a")]
    assert {call[:3] for call in asked if call[0] == "list"} == {
        ("list", "Node", "kaito-system"),
        ("list", "Secret", "kaito-system"),
    }


def test_stop_is_prompt_while_a_send_waits() -> None:
    def nowhere(sink: Any, namespace: str) -> str:
        asked.set()
        raise Unresolved("no broker yet")

    asked = threading.Event()
    cluster = ScriptedCluster(SERVER, {"Node": [listed("5", node("a", 3), node("b", 4))]}, {})
    running = ApiServerSource(source(), cluster, nowhere)
    running.start()
    assert asked.wait(5)
    running.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("source ")]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"owner": {"apiVersion": "v1", "kind": "Node"}}, "owner"),
        ({"filters": []}, "filters"),
        ({"ceOverrides": {}}, "ceOverrides"),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, "namespaceSelector.matchLabels"),
        ({"resources": []}, "resources"),
        ({"resources": [{"kind": "Node"}]}, "resources.0.apiVersion"),
        (
            {"resources": [{"apiVersion": "v1", "kind": "Node", "selector": {"matchExpressions": []}}]},
            "resources.0.selector.matchExpressions",
        ),
        ({"mode": "Object"}, "mode"),
        ({"serviceAccountName": "é"}, "serviceAccountName"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestError) as refused:
        ApiServerSource(source(**spec), ScriptedCluster(SERVER, {}, {}), lambda sink, namespace: "")
    assert refused.value.field == f"ApiServerSource kaito-system/watcher: spec.{field}"


def test_whose_rights_a_source_has() -> None:
    assert user(source()) == "system:serviceaccount:kaito-system:kaito-events"
    unnamed = source()
    del unnamed["spec"]["serviceAccountName"]
    assert user(unnamed) == "system:serviceaccount:kaito-system:default"
    del unnamed["spec"]
    with pytest.raises(ManifestError, match="spec: is missing"):
        user(unnamed)
