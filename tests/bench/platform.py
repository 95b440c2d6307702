"""The platform of a benchmark, in a process of its own: ``python -m tests.bench.platform DIRECTORY BOOT_SECONDS``.

What it runs of Knative's Services are the functions; it says so, as JSON in one line, when they are ready. For each
line that it reads it says what its parts have used of the CPU by then; when there is no more to read it ends.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from kaito.embedded.manifests import CONFIG
from kaito.embedded.platform import SYSTEM_NAMESPACE, Platform
from kaito.embedded.site import LOOPBACK

AUDIT_LOG: Final = "audit.log"
PROVISIONER: Final = "kaito-provisioner"
_EMBEDDED: Final = CONFIG / "overlays" / "embedded"
#: By the beginning of a thread's name.
_PARTS: Final = {"source ": "event source", "trigger ": "broker", "broker ": "broker", "ping ": "event source"}


def overlay(directory: Path, boot_seconds: float) -> Path:
    """The embedded platform, with nodes that take so long to boot."""
    variable = {"name": "KAITO_LOCAL_BOOT_SECONDS", "value": str(boot_seconds)}
    found = yaml.safe_load((_EMBEDDED / "kustomization.yaml").read_text())
    (patch,) = (it for it in found["patches"] if it["target"] == {"kind": "Service", "name": PROVISIONER})
    operations = [it for it in yaml.safe_load(patch["patch"]) if it["value"]["name"] != variable["name"]]
    operations.append({**operations[0], "value": variable})
    others = [it for it in found["patches"] if it is not patch]
    folder = directory / "overlay"
    folder.mkdir(parents=True)
    content = {
        **found,
        "resources": [os.path.relpath(_EMBEDDED / name, folder.resolve()) for name in found["resources"]],
        "patches": [{**patch, "patch": yaml.safe_dump(operations)}, *others],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def used() -> dict[str, float]:
    """Seconds of CPU by part; what belongs to none is the front proxy's and the runner's."""
    parts: defaultdict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        part = next((part for prefix, part in _PARTS.items() if thread.name.startswith(prefix)), None)
        if part and thread.ident:
            parts[part] += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    times = os.times()
    parts["proxy and runner"] = times.user + times.system - sum(parts.values())
    parts["ended functions"] = times.children_user + times.children_system
    return {name: round(seconds, 2) for name, seconds in parts.items()}


def main(directory: Path, boot_seconds: float, *, records: bool) -> None:
    wrapper = structlog.make_filtering_bound_logger(logging.INFO)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr), wrapper_class=wrapper)
    policy = directory / "audit-policy.yaml"
    directory.mkdir(parents=True, exist_ok=True)
    policy.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}')
    audit: dict[str, Any] = {
        "audit-policy-file": policy,
        "audit-log-path": directory / AUDIT_LOG,
        "audit-log-mode": "batch",
        "audit-log-batch-max-wait": "1s",
        "audit-log-batch-buffer-size": 100000,
        "audit-log-maxsize": 2000,
    }
    site = dataclasses.replace(LOOPBACK, apiserver={**LOOPBACK.apiserver, **audit})
    changed = overlay(directory, boot_seconds)
    platform = Platform(directory, overlay=changed, site=site, runs=SYSTEM_NAMESPACE, records=records)
    platform.start()
    try:
        print(json.dumps({"kubeconfig": str(platform.kubeconfig)}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(used()), flush=True)
    finally:
        platform.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), records=sys.argv[3] == "recorded")
