from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from eventing.manifest import ManifestError
from eventing.source.adapter import Adapter
from eventing.source.store import Store, StoreError
from kaito.api.resources import Kind, Object
from kaito.runtime.kube import KubeError, WatchEvent
from tests.receiver import Receiver
from tests.scripted import ScriptedCluster, ScriptedWatch, listed
from tests.unit.eventing.source.world import MOST, manifest, node, told

SERVER = "https://127.0.0.1:6443"


class Api(ScriptedCluster):
    """Its Broker has the address ``url``."""

    url = ""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        assert (kind.kind, namespace, name) == ("Broker", "kaito-system", "kaito")
        return {"status": {"address": {"url": self.url}}}


def test_it_lists_watches_and_sends_to_the_address_of_its_broker(tmp_path: Path) -> None:
    watch = ScriptedWatch([WatchEvent("ADDED", node("b", 6))])
    api = Api(SERVER, {"Node": [listed("5", node("a", 3))]}, {"Node": [watch]})
    with Receiver() as receiver:
        api.url = receiver.url
        adapter = Adapter(manifest(), api, tmp_path, most=MOST)
        assert [kind.kind for kind in adapter.unlisted()] == ["Node"]
        adapter.start()
        received = receiver.wait(2)
        assert adapter.unlisted() == []
        adapter.stop()
    assert sorted(told(received)) == [("add", "a"), ("add", "b")]
    assert {one.headers["ce-source"] for one in received} == {SERVER}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("source ")]
    Store(tmp_path).close()  # nobody else has it any more


def test_what_was_not_sent_is_sent_by_the_next_one(tmp_path: Path) -> None:
    refusing = Receiver(lambda received, count: ("", 503))
    with refusing:
        first = Api(SERVER, {"Node": [listed("5", node("a", 3))]}, {})
        first.url = refusing.url
        adapter = Adapter(manifest(), first, tmp_path, most=MOST)
        adapter.start()
        refusing.wait(1)
        adapter.stop()
    with Receiver() as receiver:
        second = Api(SERVER, {"Node": [listed("9")]}, {})
        second.url = receiver.url
        adapter = Adapter(manifest(), second, tmp_path, most=MOST)
        adapter.start()
        assert ("delete", "a") in told(receiver.wait(1))
        adapter.stop()


def test_a_resync_tells_all_again(tmp_path: Path) -> None:
    api = Api(SERVER, {"Node": [listed("5", node("a", 3))]}, {})
    with Receiver() as receiver:
        api.url = receiver.url
        adapter = Adapter(manifest(), api, tmp_path, most=MOST, resync=0.3)
        adapter.start()
        assert told(receiver.wait(3)) == [("add", "a"), ("update", "a"), ("update", "a")]
        adapter.stop()


def test_a_disk_that_fails_ends_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(store: Store, sql: str, *parameters: Any) -> Any:
        raise OSError("no space left on device")

    api = Api(SERVER, {"Node": [listed("5", node("a", 3))]}, {})
    adapter = Adapter(manifest(), api, tmp_path, most=MOST)
    monkeypatch.setattr(Store, "execute", full)
    adapter.start()
    adapter.wait()
    adapter.stop()
    assert str(adapter.failure) == "no space left on device"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"resources": []}, "resources"),
        ({"mode": "Object"}, "mode"),
        ({"sink": {"uri": "/"}}, "sink"),
        ({"sink": {"ref": {"kind": "Broker", "name": "x"}}}, "sink.ref.apiVersion"),
        ({"filters": []}, "filters"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(tmp_path: Path, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestError) as refused:
        Adapter(manifest(**spec), Api(SERVER, {}, {}), tmp_path, most=MOST)
    assert refused.value.field == f"ApiServerSource kaito-system/kaito: spec.{field}"
    assert not (tmp_path / "source.sqlite").exists()


def test_a_store_that_is_in_use_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError):
        Adapter(manifest(), Api(SERVER, {}, {}), tmp_path, most=MOST)
    store.close()


def test_an_absent_kind_is_said_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventing.source.reflector._ABSENT_WAIT", 0.05)
    installed = listed("5", node("a", 3))
    api = Api(SERVER, {"Node": [KubeError(404, "NotFound", ""), KubeError(403, "Forbidden", ""), installed]}, {})
    with Receiver() as receiver:
        api.url = receiver.url
        adapter = Adapter(manifest(), api, tmp_path, most=MOST)
        adapter.start()
        assert told(receiver.wait(1)) == [("add", "a")]
        adapter.stop()
