"""How the controllers' work grows with the Workspaces: ``make bench-controllers N=200 B=60 P=5``.

N Workspaces are applied at once on a real API server. The event source, the broker and the functions are the real
ones; the cloud is the local one, whose nodes are up B seconds after they were asked for, and this process stands in for
Knative: each Service is Ready P seconds after it was made. Calls are counted in the API server's own audit log, by who
made them; ``calls_per_workspace`` are the workspace function's, whose work is that of the reference's controller, for
the reference leaves nodes to a provisioner too. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from kaito.api.conditions import conditions_of
from kaito.api.resources import KNATIVE_SERVICE, MACHINE, NAMESPACE, NODE, WORKSPACE, Kind, Object
from kaito.api.status import identity
from kaito.embedded.knative.follow import Follower
from kaito.runtime.crew import Crew
from kaito.runtime.kube import Kube, KubeError
from kaito.runtime.timers import Timers
from tests.bench.platform import AUDIT_LOG

PLACE: Final = "bench"
IDLE_SECONDS: Final = 60.0
#: Who is who in the audit log.
CALLERS: Final = {
    "system:serviceaccount:kaito-system:kaito-workspace": "workspace function",
    "system:serviceaccount:kaito-system:kaito-provisioner": "provisioner function",
    "system:serviceaccount:kaito-system:kaito-tuning": "tuning function",
    "system:serviceaccount:kaito-system:kaito-events": "event source",
}
_TICK: Final = 0.2
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


class Knative:
    """Says of each Service, so long after it was made or changed, that it is Ready."""

    def __init__(self, kube: Kube, pod_seconds: float) -> None:
        self._kube, self._seconds = kube, pod_seconds
        self._timers, self._workers = Timers(), Crew(4, "knative")
        self._follower = Follower(kube, KNATIVE_SERVICE, self._list, self._event, PLACE)
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()

    def _list(self, services: tuple[Object, ...]) -> None:
        for service in services:
            self._event("ADDED", service)

    def _event(self, event: str, service: Object) -> None:
        current = (service.get("status") or {}).get("observedGeneration") == service["metadata"]["generation"]
        if event != "DELETED" and not current:
            ready = partial(self._workers.submit, partial(self._ready, service))
            self._timers.at(time.monotonic() + self._seconds, ready)

    def _ready(self, service: Object) -> None:
        status = {
            "observedGeneration": service["metadata"]["generation"],
            "url": f"http://{service['metadata']['name']}.{PLACE}.localhost",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }
        try:
            self._kube.apply({**identity(service), "status": status}, manager="bench", subresource="status")
        except KubeError as error:
            if error.status not in (404, 409):  # gone by now
                raise


class Watching:
    """The Workspaces that are there, and those that are ready, by when."""

    def __init__(self, kube: Kube) -> None:
        self._lock = threading.Lock()
        self.there: set[str] = set()
        self.ready: dict[str, float] = {}
        self._follower = Follower(kube, WORKSPACE, self._list, self._event, PLACE)
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()

    def _list(self, workspaces: tuple[Object, ...]) -> None:
        for workspace in workspaces:
            self._event("ADDED", workspace)

    def _event(self, event: str, workspace: Object) -> None:
        name, ready = workspace["metadata"]["name"], conditions_of(workspace).get("WorkspaceReady")
        with self._lock:
            if event == "DELETED":
                self.there.discard(name)
                self.ready.pop(name, None)
            else:
                self.there.add(name)
                if ready is not None and ready.status == "True":
                    self.ready.setdefault(name, time.monotonic())


class Measured:
    """The platform's processes."""

    def __init__(self, directory: Path, boot_seconds: float, *, records: bool) -> None:
        how = "recorded" if records else "unrecorded"
        argv = [sys.executable, "-m", "tests.bench.platform", str(directory), str(boot_seconds), how]
        self._log = (directory / "platform.log").open("w")
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self._directory = directory
        line = self._line()
        self.kubeconfig = Path(json.loads(line)["kubeconfig"])

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._log.close()

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU by part of ours, and of the control plane."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        parts: defaultdict[str, float] = defaultdict(float, json.loads(self._line()))
        for name, pid in self._processes():
            parts[name] += cpu_seconds(pid)
        return parts

    def memory(self) -> Counter[str]:
        """MB of resident memory by process of ours."""
        found: Counter[str] = Counter({"event source, broker, proxy and runner": self._resident(self._process.pid)})
        for name, pid in self._processes():
            found[name] += self._resident(pid)
        return found

    def _resident(self, pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE // 2**20

    def _line(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return line
        raise SystemExit(f"the platform ended: {(self._directory / 'platform.log').read_text()[-2000:]}")

    def _processes(self) -> Iterator[tuple[str, int]]:
        """Functions and control plane, with all that they started."""
        names = {
            "functions.workspace": "workspace function",
            "functions.provisioner": "provisioner function",
            "functions.tuning": "tuning function",
            "kube-apiserver": "kube-apiserver",
            "etcd": "etcd",
            "kube-controller-manager": "kube-controller-manager",
        }
        for pid in below(self._process.pid):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except FileNotFoundError:
                continue
            name = next((name for word, name in names.items() if Path(words[0]).name == word or word in words), None)
            if name:
                yield name, pid


def cpu_seconds(pid: int) -> float:
    """What this process has used by now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) / _HERTZ


def below(pid: int) -> Iterator[int]:
    """All that it started, and what those did."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended by now
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from below(int(child))


def calls(audit: Path, begin: float, end: float) -> dict[str, Counter[tuple[str, str]]]:
    """What each caller asked of the API server in that time (seconds of the epoch), by verb and resource."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    with audit.open() as lines:
        for line in lines:
            event = json.loads(line)
            if event["stage"] not in ("ResponseComplete", "ResponseStarted"):
                continue
            user = (event.get("impersonatedUser") or event["user"])["username"]
            received = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
            if user in CALLERS and begin <= received < end and event["stage"] == _last_stage(event):
                about = event.get("objectRef") or {}
                parts = (about.get("resource", "other"), about.get("subresource", ""))
                found.setdefault(CALLERS[user], Counter())[event["verb"], "/".join(filter(None, parts))] += 1
    return found


def _last_stage(event: Object) -> str:
    """A watch is counted when it begins."""
    return "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"


def workspace(name: str) -> Object:
    return {
        "apiVersion": WORKSPACE.api_version,
        "kind": WORKSPACE.kind,
        "metadata": {"name": name, "namespace": PLACE},
        "resource": {"instanceType": "Standard_NC6s_v3", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
    }


def until(done: Callable[[], bool], seconds: float) -> None:
    deadline, never = time.monotonic() + seconds, threading.Event()
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not there after {seconds:.0f} s")
        never.wait(_TICK)


def measure(
    n: int, boot_seconds: float, pod_seconds: float, idle_seconds: float, directory: Path, *, records: bool
) -> dict[str, Any]:
    measured = Measured(directory, boot_seconds, records=records)
    try:
        kube = Kube.from_kubeconfig(measured.kubeconfig)
        kube.apply(
            {"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind, "metadata": {"name": PLACE}}, manager="bench"
        )
        # An API server that has just started holds requests while it compiles its rules: not what is measured.
        until(lambda: not _admitted(kube, {"preset": {"name": "unknown"}}), 60)
        assert _admitted(kube, workspace("first")["inference"])
        knative, watching = Knative(kube, pod_seconds), Watching(kube)
        try:
            return _measure(n, boot_seconds, pod_seconds, idle_seconds, directory, measured, kube, watching)
        finally:
            knative.stop()
            watching.stop()
    finally:
        measured.stop()


def _admitted(kube: Kube, inference: Object) -> bool:
    try:
        kube.apply({**workspace("first"), "inference": inference}, manager="bench", dry_run=True)
    except KubeError as error:
        if error.status != 422:
            raise
        return False
    return True


@contextmanager
def phase(measured: Measured, audit: Path, title: str, n: int) -> Iterator[dict[str, Any]]:
    """What is called and used in it; told when it is over."""
    result: dict[str, Any] = {}
    cpu, begin = measured.cpu(), time.time()
    yield result
    end = time.time()
    threading.Event().wait(2.5)  # the audit log comes in batches
    result["calls"] = calls(audit, begin, end)
    result["cpu"] = {name: seconds - cpu.get(name, 0) for name, seconds in measured.cpu().items()}
    print(f"\n{title}")
    for caller, asked in sorted(result["calls"].items()):
        print(f"  {caller}: {asked.total() / n:.1f} calls a Workspace")
        for verb in sorted({verb for verb, _ in asked}):
            of = {resource: number for (each, resource), number in asked.items() if each == verb}
            told = ", ".join(f"{resource} {number / n:.2f}" for resource, number in sorted(of.items()))
            print(f"    {verb} {sum(of.values()) / n:.2f}: {told}")
    print(f"  CPU seconds: {', '.join(f'{name} {seconds:.1f}' for name, seconds in sorted(result['cpu'].items()))}")


def _ages(kube: Kube, kind: Kind, began: float) -> list[float]:
    """When the Workspaces' objects of that kind were made, in seconds since then, to the second."""
    found = (it["metadata"] for it in kube.list(kind).items)
    ours = [it for it in found if kind == WORKSPACE or "kaito.sh/workspace" in it.get("labels", {})]
    return sorted(datetime.fromisoformat(it["creationTimestamp"]).timestamp() - began for it in ours)


def _measure(
    n: int,
    boot_seconds: float,
    pod_seconds: float,
    idle_seconds: float,
    directory: Path,
    measured: Measured,
    kube: Kube,
    watching: Watching,
) -> dict[str, Any]:
    names, audit = [f"w{number}" for number in range(n)], directory / AUDIT_LOG
    limit = boot_seconds + pod_seconds + 60 + n
    with phase(measured, audit, f"{n} Workspaces at once", n) as up:
        start, began = time.monotonic(), time.time()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: kube.create(workspace(name)), names))
        until(lambda: len(watching.ready) == n, limit)
        times = sorted(watching.ready.values())
        memory = measured.memory()
    half, settled = times[(n - 1) // 2] - start, times[-1] - start
    print(f"  half settled after {half:.1f} s, all after {settled:.1f} s (floor {boot_seconds + pod_seconds:.0f} s)")
    made = {kind.kind: _ages(kube, kind, began) for kind in (WORKSPACE, MACHINE, NODE, KNATIVE_SERVICE)}
    told = (f"{kind} {ages[0]:.0f} to {ages[-1]:.0f}" for kind, ages in made.items())
    print(f"  made, in seconds: {', '.join(told)}")
    print(f"  MB: {', '.join(f'{name} {size}' for name, size in sorted(memory.items()))}")

    with phase(measured, audit, f"idle for {idle_seconds:.0f} s", 1) as idle:
        threading.Event().wait(idle_seconds)

    with phase(measured, audit, "all deleted", n):
        start = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: kube.delete(WORKSPACE, name, PLACE), names))
        until(lambda: not watching.there, limit)
        deleted = time.monotonic() - start
    print(f"  after {deleted:.1f} s")
    kinds: tuple[Kind, ...] = (MACHINE, NODE, KNATIVE_SERVICE)
    leaked = sum(
        "kaito.sh/workspace" in it["metadata"].get("labels", {}) for kind in kinds for it in kube.list(kind).items
    )
    ours = [name for name in up["cpu"] if not name.startswith(("kube-", "etcd"))]
    return {
        "n": n,
        "boot_seconds": boot_seconds,
        "pod_seconds": pod_seconds,
        "settled_seconds": round(settled, 1),
        "calls_per_workspace": round(up["calls"]["workspace function"].total() / n, 1),
        "provisioner_calls_per_workspace": round(up["calls"]["provisioner function"].total() / n, 1),
        "cpu_seconds": round(sum(up["cpu"][name] for name in ours), 1),
        "rss_mb": sum(size for name, size in memory.items() if not name.startswith(("kube-", "etcd"))),
        "deleted_seconds": round(deleted, 1),
        "idle_calls_per_minute": round(sum(verbs.total() for verbs in idle["calls"].values()) * 60 / idle_seconds, 1),
        "leaked": leaked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, metavar="N")
    parser.add_argument("boot_seconds", type=float, metavar="B")
    parser.add_argument("pod_seconds", type=float, metavar="P")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds to measure what idle costs")
    parser.add_argument("--unrecorded", action="store_true", help="without a recording of what the functions do")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="kaito-bench-"))
    try:
        records = not asked.unrecorded
        figures = measure(asked.n, asked.boot_seconds, asked.pod_seconds, asked.idle, directory, records=records)
    finally:
        shutil.rmtree(directory)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
