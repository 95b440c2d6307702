"""``make bench-recording``: what recording adds to a reconcile; the last line is JSON.

The workspace function, in this process and on a real API server, is told of Workspaces that are new: a look, a decision
and five writes for each, by turns with recording and without. Milliseconds of CPU for one of them: ``record_ms`` of the
recorder's thread, ``function_ms`` of all others of this process, ``cluster_ms`` of the API server and etcd.
``answer_ms`` is the time from a delivery to its answer. ``share`` is the recorder's part of what a reconcile costs,
``function_share`` of what it costs the function.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from functions.workspace.app import function
from kaito.api.resources import NAMESPACE, Object
from kaito.embedded import manifests, programs
from kaito.embedded.controlplane import ControlPlane
from kaito.runtime.delivery import deliver
from kaito.runtime.kube import Kube
from kaito.runtime.reconciler import Reconciler
from kaito.runtime.recording import sinks
from tests.bench.controllers import PLACE, below, cpu_seconds, workspace

#: Deliveries at once, for the CPU, and one after the other, for the answers.
TOGETHER, ALONE = 40, 15
#: From one lone delivery to the next, in seconds: no look is held back for the one before.
APART: Final = 0.3
#: Seconds after which the recorder has nothing more to do.
DRAINED: Final = 1.0
_SERVERS: Final = ("kube-apiserver", "etcd")


def event(obj: Object) -> tuple[dict[str, str], bytes]:
    """As the source tells of it."""
    meta = obj["metadata"]
    headers = {
        "ce-specversion": "1.0",
        "ce-id": meta["uid"],
        "ce-source": "bench",
        "ce-type": "dev.knative.apiserver.resource.add",
        "ce-kind": obj["kind"],
        "ce-name": meta["name"],
        "ce-namespace": meta["namespace"],
        "ce-apiversion": obj["apiVersion"],
        "content-type": "application/json",
    }
    return headers, json.dumps(obj, separators=(",", ":")).encode()


def used() -> dict[str, float]:
    """Seconds of CPU."""
    clocks = (time.pthread_getcpuclockid(it.ident) for it in threading.enumerate() if it.name == "record" and it.ident)
    record = sum(map(time.clock_gettime, clocks))
    names = ((pid, Path(f"/proc/{pid}/comm").read_text().strip()) for pid in below(os.getpid()))
    cluster = sum(cpu_seconds(pid) for pid, name in names if name in _SERVERS)
    return {"record_ms": record, "function_ms": time.process_time() - record, "cluster_ms": cluster}


def answer(reconciler: Reconciler[Any], obj: Object) -> float:
    """Seconds to it."""
    headers, body = event(obj)
    began = time.monotonic()
    answered = deliver(reconciler, headers, body)
    assert answered.status == 202, answered
    return time.monotonic() - began


def block(reconciler: Reconciler[Any], made: Sequence[Object]) -> dict[str, float]:
    """What these Workspaces cost it, in milliseconds."""
    never = threading.Event()
    together, alone = made[:TOGETHER], made[TOGETHER:]
    before = used()
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(partial(answer, reconciler), together))
    never.wait(DRAINED)
    cpu = {name: seconds - before[name] for name, seconds in used().items()}
    took = []
    for obj in alone:
        never.wait(APART)
        took.append(answer(reconciler, obj))
    each = {name: seconds / len(together) for name, seconds in cpu.items()}
    return {name: seconds * 1e3 for name, seconds in {**each, "answer_ms": statistics.median(took)}.items()}


@contextmanager
def cluster(directory: Path) -> Iterator[ControlPlane]:
    """One with all kinds that the function looks at."""
    found = programs.prepare()
    objects = manifests.build(found.kubectl, manifests.CONFIG / "overlays" / "embedded")
    plane = ControlPlane(directory, found)
    plane.start(before_controllers=lambda kube: manifests.install_crds(kube, objects))
    try:
        namespace = {"apiVersion": NAMESPACE.api_version, "kind": NAMESPACE.kind}
        for name in (PLACE, "kaito-system"):
            plane.kube().create({**namespace, "metadata": {"name": name}})
        yield plane
    finally:
        plane.stop()


def measure(kube: Kube, recording: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The medians of the rounds, ``with`` recording and ``without``."""
    of = function()
    recorder = sinks.recorder(of.name, of.installation, {sinks.VARIABLE: recording.as_uri()})
    assert recorder is not None
    both = {"without": Reconciler(of, kube), "with": Reconciler(of, kube, recorder=recorder)}
    found: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(rounds + 1):
        for name in sorted(both, reverse=number % 2 == 1):
            made = [kube.create(workspace(f"{name}-{number}-{each}")) for each in range(TOGETHER + ALONE)]
            found[name].append(block(both[name], made))
            print(f"  {number} {name:<7} {_shown(found[name][-1])}", flush=True)
    recorder.close()
    # The first round has what a process does once.
    return {name: _medians(blocks[1:]) for name, blocks in found.items()}


def _medians(blocks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(it[name] for it in blocks) for name in blocks[0]}


def _shown(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


def main(rounds: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="kaito-bench-") as folder, cluster(Path(folder) / "cluster") as plane:
        of = measure(plane.kube(), Path(folder) / "recording", rounds)
    it = of["with"]
    shares = {
        "share": it["record_ms"] / (it["function_ms"] + it["cluster_ms"]),
        "function_share": it["record_ms"] / it["function_ms"],
    }
    figures = {name: round(value, 2) for name, value in it.items()}
    figures["answer_ms_without"] = round(of["without"]["answer_ms"], 2)
    print(json.dumps({**figures, **{name: round(value, 3) for name, value in shares.items()}}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
