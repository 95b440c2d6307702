"""``python -m eventing.source`` on a real API server: its process killed, its sink away, its watch cut off."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from eventing.source.adapter import Adapter
from kaito.api.resources import API_SERVER_SOURCE, CONFIG_MAP, NAMESPACE, Kind, Object
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.kube import Kube, Labels, Watch
from tests.receiver import Received, Receiver

ROOT = Path(__file__).parents[3]
MANAGER = "tests"
MANY = 2000


def until(holds: Callable[[], Any], seconds: float = 30) -> Any:
    never, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it does not come to that"
        never.wait(0.02)
    return found


@dataclass
class Place:
    """A namespace of the test's own, and a source of its labelled ConfigMaps."""

    kube: Kube
    kubeconfig: Path
    namespace: str
    directory: Path
    sink: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def apply(self, name: str, value: str = "", *, labelled: bool = True) -> Object:
        metadata = {"name": name, "namespace": self.namespace, "labels": {"watched": "yes"} if labelled else {}}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}
        return self.kube.apply(obj, manager=MANAGER)

    def delete(self, name: str) -> None:
        self.kube.delete(CONFIG_MAP, name, self.namespace)

    def manifest(self) -> Object:
        resource = {"apiVersion": "v1", "kind": "ConfigMap", "selector": {"matchLabels": {"watched": "yes"}}}
        return {
            "apiVersion": API_SERVER_SOURCE.api_version,
            "kind": API_SERVER_SOURCE.kind,
            "metadata": {"name": "it", "namespace": self.namespace},
            "spec": {"mode": "Resource", "resources": [resource], "sink": {"uri": self.sink}},
        }

    def begin(self, *flags: str) -> Process:
        """The program."""
        file, log = self.directory / "source.yaml", self.directory / f"log-{len(self.running)}"
        file.write_text(yaml.safe_dump(self.manifest()))
        argv = [sys.executable, "-m", "eventing.source", "--manifest", str(file)]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOST": "127.0.0.1", "PORT": "0"}
        with log.open("wb") as out:
            spool = ["--spool", str(self.directory / "spool")]
            popen = subprocess.Popen([*argv, *spool, *flags], cwd=ROOT, env=environment, stdout=out, stderr=out)
        self.running.append(popen)
        return Process(popen, log)

    def start(self, *flags: str) -> Process:
        """It, once it is ready."""
        process = self.begin(*flags)
        until(lambda: "source started" in process.log.read_text(), 60)
        until(lambda: httpx.get(f"{process.url}/readyz").status_code == 200)
        return process


@dataclass(frozen=True)
class Process:
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        (port,) = [line["port"] for line in lines if line["event"] == "source started"]
        return f"http://127.0.0.1:{port}"

    def figure(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)

    def memory(self) -> int:
        """Bytes that are resident."""
        (line,) = [it for it in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines() if "VmRSS" in it]
        return int(line.split()[1]) * 1024

    def kill(self) -> None:
        os.kill(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> int:
        os.kill(self.popen.pid, signal.SIGTERM)
        return self.popen.wait(20)


@pytest.fixture
def place(control_plane: ControlPlane, kube: Kube, tmp_path: Path) -> Iterator[Place]:
    name = f"test-{secrets.token_hex(4)}"
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager=MANAGER)
    place = Place(kube, control_plane.kubeconfig, name, tmp_path)
    yield place
    for popen in place.running:
        if popen.poll() is None:
            popen.kill()
            popen.wait()
    kube.delete(NAMESPACE, name)


def told(received: list[Received]) -> list[tuple[str, str]]:
    return [(one.headers["ce-type"].rpartition(".")[2], one.headers["ce-name"]) for one in received]


class Gate:
    """Answers of a sink that is there while ``open``."""

    def __init__(self) -> None:
        self.open = True
        self.taken: list[Received] = []

    def __call__(self, received: Received, count: int) -> tuple[str, int]:
        if self.open:
            self.taken.append(received)
        return "", 202 if self.open else 503


def test_a_process_that_is_killed_goes_on_where_it_was(place: Place) -> None:
    gate = Gate()
    for name in ("a", "b", "c", "same"):
        place.apply(name)
    with Receiver(gate) as receiver:
        place.sink = receiver.url
        process = place.start()
        until(lambda: len(gate.taken) == 4)
        gate.open, tried = False, len(receiver.received)
        place.apply("a", "while it ran and the sink was away")
        receiver.wait(tried + 1)
        process.kill()

        place.delete("b")
        place.apply("c", "while nothing ran")
        place.apply("d")
        place.delete("d")
        place.apply("e")
        gate.open = True
        again = place.start()
        until(lambda: len(gate.taken) == 8)
        until(lambda: again.figure("kaito_source_changes_waiting") == 0)
        assert sorted(told(gate.taken[4:])) == [("add", "e"), ("delete", "b"), ("update", "a"), ("update", "c")]
        ids = {one.headers["ce-id"] for one in receiver.received[tried:] if one.headers["ce-name"] == "a"}
        assert len(ids) == 1, "the event that was under way is sent again, and is the same"
        (deleted,) = [one for one in gate.taken if told([one]) == [("delete", "b")]]
        assert json.loads(deleted.body)["data"] == {"value": ""}
        assert again.stop() == 0
        once_more = place.start()
        place.apply("f")
        until(lambda: told(gate.taken)[8:] == [("add", "f")])
        assert once_more.figure("kaito_source_changes_waiting") == 0


def test_a_second_process_on_the_same_spool_ends_and_says_why(place: Place) -> None:
    with Receiver() as receiver:
        place.sink = receiver.url
        place.start()
        second = place.begin()
        assert second.popen.wait(60) == 1
    said = second.log.read_text()
    assert said.startswith("the source cannot run: ")
    assert "another source runs on it" in said


def test_objects_that_come_to_be_selected_and_are_no_longer(place: Place) -> None:
    with Receiver() as receiver:
        place.sink = receiver.url
        place.start()
        place.apply("a", labelled=False)
        place.apply("a")
        receiver.wait(1)
        place.apply("a", labelled=False)
        receiver.wait(2)
        place.apply("a")
        assert told(receiver.wait(3)) == [("add", "a"), ("delete", "a"), ("add", "a")]


def test_a_resync_tells_what_is_known(place: Place) -> None:
    place.apply("a")
    with Receiver() as receiver:
        place.sink = receiver.url
        place.start("--resync-period", "1s")
        assert told(receiver.wait(3))[:3] == [("add", "a"), ("update", "a"), ("update", "a")]


class Late(Kube):
    """Comes back to a watch that has ended when it is told to, and then asks for what the API server has no more."""

    come_back: threading.Event

    def watch(
        self,
        kind: Kind,
        resource_version: str,
        namespace: str | None = None,
        labels: Labels | None = None,
        *,
        timeout: int = 240,
    ) -> Watch:
        if not self.come_back.is_set():
            self.come_back.wait(60)
            resource_version = "1"
        return super().watch(kind, resource_version, namespace, labels, timeout=timeout)


def test_a_watch_whose_version_is_gone_costs_no_change(control_plane: ControlPlane, place: Place) -> None:
    for name in ("same", "changed", "gone"):
        place.apply(name)
    api = Late.from_kubeconfig(place.kubeconfig)
    api.come_back = threading.Event()
    api.come_back.set()
    with Receiver() as receiver:
        place.sink = receiver.url
        adapter = Adapter(place.manifest(), api, place.directory / "spool", most=1 << 20)
        adapter.start()
        receiver.wait(3)
        (reflector,) = adapter.reflectors
        until(lambda: reflector.version is not None)
        api.come_back.clear()
        control_plane.restart_apiserver()  # which has forgotten all versions before this one
        place.apply("changed", "2")
        place.delete("gone")
        reflector.listed.clear()
        api.come_back.set()
        assert sorted(told(receiver.wait(5))[3:]) == [("delete", "gone"), ("update", "changed")]
        assert reflector.listed.is_set(), "by a list"
        place.apply("more")
        assert told(receiver.wait(6))[5:] == [("add", "more")]
        adapter.stop()
    assert adapter.failure is None


def test_a_slow_sink_holds_up_neither_the_watch_nor_the_memory(place: Place) -> None:
    release = threading.Event()

    def slowly(received: Received, count: int) -> tuple[str, int]:
        release.wait(0.3)
        return "", 202

    names = [f"n{number}" for number in range(MANY)]
    with Receiver(slowly) as receiver, ThreadPoolExecutor(8) as people:
        place.sink = receiver.url
        process = place.start()

        def current(version: str) -> bool:
            return process.figure("kaito_source_resource_version") >= int(version)

        list(people.map(lambda name: place.apply(name, "x" * 1000), names))
        until(lambda: current(place.apply("last", "1")["metadata"]["resourceVersion"]), 5)
        waiting, memory = process.figure("kaito_source_changes_waiting"), process.memory()
        assert waiting > MANY / 2, "the sink is far behind"
        for turn in range(3):
            list(people.map(lambda name: place.apply(name, str(turn) * 1000), names[:500]))  # noqa: B023
            until(lambda: current(place.apply("last", str(turn))["metadata"]["resourceVersion"]), 5)  # noqa: B023
        assert process.figure("kaito_source_changes_waiting") <= MANY + 1
        assert process.figure("kaito_source_changes_coalesced_total") > 500
        assert process.memory() - memory < 32 << 20

        release.set()
        until(lambda: process.figure("kaito_source_changes_waiting") == 0, 120)
        last = {one.headers["ce-name"]: json.loads(one.body) for one in receiver.received}
        assert {name: obj["data"]["value"][:1] for name, obj in last.items() if name != "last"} == {
            **dict.fromkeys(names, "x"),
            **dict.fromkeys(names[:500], "2"),
        }
