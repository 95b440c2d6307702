"""``make bench-replay``: a recording of N decisions of all functions, read and decided again; the last line is JSON.

``seconds``: from opening the file to the last verdict, of which ``read_seconds`` to have it in memory; ``differ`` must
be 0; ``recording_mb``: of the file; ``rss_mb``: the most memory that the process had.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from eventing.recordings.recording import read
from eventing.recordings.replay import Replay
from functions.provisioner.observed import Observed as ProvisionerObserved
from functions.tuning.observed import Observed as TuningObserved
from functions.workspace.observed import Observed
from kaito.api.resources import Object
from tests.recorded import Kept
from tests.unit.eventing.recordings.scenes import Told
from tests.unit.functions.tuning import scenes as tuning
from tests.unit.functions.workspace.scenes import machine, node, settled, workspace

RECONCILES: Final = 10_000
WORKSPACES: Final = 500


def scenes(number: int) -> Iterator[tuple[str, Object, Any]]:
    """The life of one Workspace: function, what its event is about, what it observes then."""

    def mine(obj: Object) -> Object:
        meta = {**obj["metadata"], "uid": f"{obj['metadata'].get('uid', obj['kind'])}-{number}"}
        version = str(number * 10_000 + len(json.dumps(obj)))
        return {**obj, "metadata": {**meta, "resourceVersion": version, "creationTimestamp": "2026-11-23T11:59:00Z"}}

    obj, claim, ready = mine(workspace()), mine(machine()), mine(machine(ready=True))
    yield "kaito-workspace", obj, Observed(obj)
    yield "kaito-provisioner", claim, ProvisionerObserved(claim)
    yield "kaito-workspace", claim, Observed(obj, (claim,))
    yield "kaito-provisioner", claim, ProvisionerObserved(claim, (mine(node()),))
    yield "kaito-workspace", ready, Observed(obj, (ready,), (mine(node()),))
    done = settled()
    assert done.workspace is not None
    yield "kaito-workspace", obj, replace(done, workspace=mine(done.workspace), nodes=(mine(node()),))
    tunes = mine(tuning.workspace())
    yield "kaito-tuning", tunes, TuningObserved(tunes)


def record(file: Path, reconciles: int) -> None:
    sink = Kept()
    processes = {name: Told(name, sink) for name in ("kaito-workspace", "kaito-provisioner", "kaito-tuning")}
    lives = itertools.chain.from_iterable(scenes(number % WORKSPACES) for number in itertools.count())
    for count, (function, about, observed) in enumerate(itertools.islice(lives, reconciles), 1):
        processes[function].event(about, observed)
        if count % 1000 == 0:
            # It has no room for all of them at once.
            sink.wait(partial(_has, sink, count))
    for process in processes.values():
        process.close()
    sink.write(file)


def _has(sink: Kept, decisions: int) -> bool:
    return sum(b'"sh.kaito.recording.decision"' in it for it in sink.kept) >= decisions


def main(reconciles: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kaito-bench-") as folder:
        file = Path(folder) / "recording.ndjson"
        record(file, reconciles)
        began = time.monotonic()
        recording = read([file])
        loaded = time.monotonic()
        with Replay(recording) as replay:
            differ = sum(not replay.decide(it).same for it in recording.decisions.values())
        ended = time.monotonic()
        figures = {
            "reconciles": len(recording.decisions),
            "seconds": round(ended - began, 2),
            "read_seconds": round(loaded - began, 2),
            "per_second": round(len(recording.decisions) / (ended - began)),
            "differ": differ,
            "recording_mb": round(file.stat().st_size / 1e6, 1),
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RECONCILES)
