"""The real cluster, KAITO installed on it as users install it, and what a person at a terminal does with both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from kaito.api.conditions import conditions_of
from kaito.api.resources import KNATIVE_SERVICE, NODE, Kind, Object
from kaito.embedded.knative.follow import Follower
from kaito.embedded.manifests import CONFIG
from kaito.embedded.programs import KUBECTL, fetch
from kaito.runtime.kube import Kube
from tests.cluster import cgroups, layout
from tests.cluster.cluster import Cluster
from tests.cluster.machine import lacks
from tests.e2e.conftest import Person, until

POD: Final = Kind("v1", "Pod")
DOMAIN: Final = "kaito.test"
_STAGES: dict[str, float] = {}


def pytest_unconfigure() -> None:
    """The last line: the seconds of each stage, as measured by this run."""
    if _STAGES:
        print(json.dumps({name: round(seconds, 2) for name, seconds in _STAGES.items()}))


class Pods:
    """What has become of every pod since the beginning, by name, as a watch tells it."""

    def __init__(self, kube: Kube) -> None:
        self._seen: dict[str, float] = {}
        self._ready: dict[str, float] = {}
        self._there: dict[str, Object] = {}
        self._follower = Follower(kube, POD, self._list, self._event)
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()

    def present(self, prefix: str) -> list[str]:
        """Those that are there, also where they are on their way out."""
        return [name for name in list(self._there) if name.startswith(prefix)]

    def running(self, prefix: str) -> list[str]:
        """Those that are not on their way out."""
        return [
            name
            for name, pod in list(self._there.items())
            if name.startswith(prefix) and not pod["metadata"].get("deletionTimestamp")
        ]

    def images(self, name: str) -> set[str]:
        return {container["image"] for container in self._there[name]["spec"]["containers"]}

    def cold_starts(self, prefix: str) -> dict[str, float]:
        """Seconds from created to ready, as both were heard of."""
        return {
            name: ready - self._seen[name]
            for name, ready in list(self._ready.items())
            if name.startswith(prefix) and name in self._seen
        }

    def _list(self, pods: tuple[Object, ...]) -> None:
        # When those that were there already were created is not known well enough to measure from.
        self._there = {pod["metadata"]["name"]: pod for pod in pods}

    def _event(self, event: str, pod: Object) -> None:
        name, now = pod["metadata"]["name"], time.monotonic()
        if event == "DELETED":
            self._there.pop(name, None)
            return
        if event == "ADDED":
            self._seen[name] = now
        self._there[name] = pod
        ready = conditions_of(pod).get("Ready")
        if ready is not None and ready.status == "True":
            self._ready.setdefault(name, now)


class User(Person):
    """A person at a terminal of this machine."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.kube())
        self.cluster = cluster
        self._kubectl = fetch([KUBECTL])[KUBECTL]

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        argv = [str(self._kubectl), "--kubeconfig", str(self.cluster.kubeconfig), *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def install(self, *flags: str) -> None:
        """As README says."""
        self.kubectl(
            "apply", "--server-side", "--field-manager=kaito", *flags, "-k", str(CONFIG / "overlays" / "local")
        )

    def set_env(self, function: str, name: str, value: str) -> None:
        """What an installation decides; returns when the function goes by it."""
        service = self.kube.get(KNATIVE_SERVICE, function, "kaito-system")
        assert service is not None
        before = service["status"]["latestReadyRevisionName"]
        env = service["spec"]["template"]["spec"]["containers"][0]["env"]
        where = f"/spec/template/spec/containers/0/env/{[it['name'] for it in env].index(name)}/value"
        patch = json.dumps([{"op": "replace", "path": where, "value": value}])
        self.kubectl("patch", "ksvc", function, "-n", "kaito-system", "--type=json", "-p", patch)
        until(lambda: self._revision(function) != before, 90, f"a new revision of {function}")

    def _revision(self, function: str) -> str:
        service = self.kube.get(KNATIVE_SERVICE, function, "kaito-system") or {}
        return str(service["status"]["latestReadyRevisionName"])

    def kaito(self, *words: str) -> str:
        argv = [sys.executable, "-c", "from kaito.cli import main; main()", *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"kaito {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def forwarded(self, function: str) -> Iterator[str]:
        """Where a Service of kaito-system answers for as long, as docs/replay.md says."""
        service = self.kube.get(KNATIVE_SERVICE, function, "kaito-system")
        assert service is not None
        deployment = f"deployment/{service['status']['latestReadyRevisionName']}-deployment"
        words = ["port-forward", "-n", "kaito-system", deployment, ":8012"]
        argv = [str(self._kubectl), "--kubeconfig", str(self.cluster.kubeconfig), *words]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", process.stdout.readline())
                assert found, f"kubectl {' '.join(words)} ended"
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                process.terminate()

    def node(self) -> Object:
        (node,) = self.kube.list(NODE).items
        return node

    def chat(self, name: str, body: object, timeout: float = 120) -> httpx.Response:
        """What ``curl`` would get from the gateway."""
        return httpx.post(
            f"http://{self.cluster.address}/chat",
            headers={"Host": f"{name}.default.{DOMAIN}"},
            json=body,
            timeout=timeout,
            trust_env=False,
        )


@pytest.fixture(scope="session")
def stages() -> dict[str, float]:
    return _STAGES


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """This user's cluster: the one that runs, or one for these tests that leaves nothing behind."""
    if missing := lacks():
        pytest.skip(missing)
    cluster = Cluster()
    mine = not cluster.running
    began = time.monotonic()
    try:
        cluster.up(print)
        if mine:
            _STAGES["cluster"] = time.monotonic() - began
        yield cluster
    finally:
        if mine:
            cluster.down()
    assert not mine or left_behind() == []


def left_behind() -> list[str]:
    """Whatever of the cluster is still on this machine: processes, mounts, interfaces, cgroups, files."""
    where = layout.Layout.of_this_user()
    programs = [entry.read_bytes() for entry in Path("/proc").glob("[0-9]*/cmdline") if _readable(entry)]
    mark = str(where.state).encode()
    return [
        *(line.decode(errors="replace") for line in programs if mark in line),
        *(line for line in Path("/proc/mounts").read_text().splitlines() if str(where.state) in line),
        *(str(path) for path in cgroups.present(layout.CGROUP)),
        *(path.name for path in Path("/sys/class/net").iterdir() if path.name == layout.INTERFACE),
        *(str(path) for path in (where.node,) if path.exists()),
    ]


def _readable(entry: Path) -> bool:
    try:
        return bool(entry.read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def pods(cluster: Cluster) -> Iterator[Pods]:
    pods = Pods(cluster.kube())
    yield pods
    pods.stop()


@pytest.fixture(scope="session")
def user(cluster: Cluster, pods: Pods) -> User:
    """Of a cluster on which KAITO is installed."""
    user = User(cluster)
    user.install()
    user.kubectl("delete", "workspace", "--all", "--all-namespaces", "--timeout=90s")
    until(lambda: installed(user), 90, "KAITO's parts being ready")
    return user


def installed(user: User, *names: str) -> bool:
    """KAITO, and Services of these names."""
    kinds = "apiserversource,broker,trigger,pingsource,ksvc"
    parts = json.loads(user.kubectl("get", kinds, "-n", "kaito-system", "-o", "json"))["items"]
    ready = [conditions_of(part).get("Ready") for part in parts]
    return (
        len(parts) >= 7
        and {it["metadata"]["name"] for it in parts}.issuperset(names)
        and all(condition is not None and condition.status == "True" for condition in ready)
    )
