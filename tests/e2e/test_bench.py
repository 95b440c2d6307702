"""The benchmark of the controllers runs, and counts what is there to be counted."""

from __future__ import annotations

import json
import subprocess
import sys


def test_it_ends_with_its_figures_in_one_line() -> None:
    argv = [sys.executable, "-m", "tests.bench.controllers", "3", "1", "0.5", "--idle", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["n"], figures["leaked"]) == (3, 0)
    # Each Workspace has to be marked, recorded, given a Machine, a Service and a status at the very least.
    assert 5 < figures["calls_per_workspace"] < 100
    assert figures["provisioner_calls_per_workspace"] > 3
    assert figures["settled_seconds"] > figures["boot_seconds"]
    assert figures["cpu_seconds"] > 0
    assert figures["rss_mb"] > 0
    assert set(figures) >= {"pod_seconds", "deleted_seconds", "idle_calls_per_minute"}
