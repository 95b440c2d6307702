"""Jobs whose containers are Python programs, and what becomes of their pods."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kaito.api.resources import JOB, NODE, POD, Object
from kaito.runtime.kube import Kube

T = TypeVar("T")
MANAGER = "tests-jobs"
#: What the programs have at hand: ``here`` is a directory of the test, ``when`` waits for a condition.
PRELUDE = """
import os, pathlib, signal, socket, sys, threading
here = pathlib.Path(os.environ["HERE"])
def when(look):
    never = threading.Event()
    while not look():
        never.wait(0.02)
def say(line):
    with (here / "said").open("a") as file:
        file.write(line + "\\n")
"""


def until(look: Callable[[], T | None], seconds: float = 30) -> T:
    """Poll until ``look`` gives something true."""
    never, deadline = threading.Event(), time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "the condition never held"
        never.wait(0.02)
    return found


@dataclass
class Jobs:
    """In one namespace; their programs find ``here`` in a variable of that name."""

    kube: Kube
    namespace: str
    here: Path

    def make(self, name: str, *containers: Object, job: Object | None = None, **pod: Any) -> None:
        """Its last container is the main one. ``job`` has fields of the Job's spec, ``pod`` of its pod's."""
        spec = {"backoffLimit": 0, "template": {"spec": self.pod_spec(*containers, **pod)}, **(job or {})}
        self.kube.create(self._object(JOB.api_version, "Job", name, spec))

    def make_pod(self, name: str, container: Object) -> Object:
        return self.kube.create(self._object("v1", "Pod", name, self.pod_spec(container)))

    def pod_spec(self, *containers: Object, **pod: Any) -> Object:
        *first, last = containers
        return {"restartPolicy": "Never", "initContainers": first, "containers": [last], **pod}

    def program(self, name: str, text: str, **container: Any) -> Object:
        env = [{"name": "HERE", "value": str(self.here)}, *container.pop("env", ())]
        return {
            "name": name,
            "image": "tests/job",
            "command": ["python", "-c", PRELUDE + text],
            "env": env,
            **container,
        }

    def node(self, name: str, gpus: int = 0) -> str:
        """A Node with the label ``tests``, and its name, which no other test's has."""
        name = f"{self.namespace}-{name}"
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        labels = {"tests": self.namespace}
        self.kube.apply({**node, "metadata": {"name": name, "labels": labels}, "spec": {}}, manager=MANAGER)
        ready = {"type": "Ready", "status": "True", "reason": "Tests", "message": "tests"}
        status = {"allocatable": {"nvidia.com/gpu": str(gpus)}, "conditions": [ready]}
        self.kube.apply({**node, "status": status}, manager=f"{MANAGER}-status", subresource="status")
        return name

    def pods(self, job: str) -> list[Object]:
        """The oldest first."""
        found = self.kube.list(POD, self.namespace, {"job-name": job}).items
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod(self, job: str, phase: str) -> Object:
        """The one that is in that phase, once there is one."""
        return until(lambda: next((pod for pod in self.pods(job) if phase_of(pod) == phase), None))

    def finished(self, job: str, kind: str = "Complete") -> Object:
        """The condition by which the Job is over."""
        return until(lambda: self._condition(job, kind), 60)

    def waiting(self, job: str, reason: str) -> str:
        """What a container says that waits for that reason."""

        def look() -> str | None:
            states = [it["state"] for pod in self.pods(job) for it in containers_of(pod).values()]
            waits = [state["waiting"] for state in states if "waiting" in state]
            return next((str(it["message"]) for it in waits if it["reason"] == reason), None)

        return until(look)

    def said(self) -> list[str]:
        """The lines that programs have said."""
        file = self.here / "said"
        return file.read_text().splitlines() if file.exists() else []

    def clear(self) -> None:
        for job in self.kube.list(JOB, self.namespace).items:
            self.kube.delete(JOB, job["metadata"]["name"], self.namespace)
        until(lambda: not self.kube.list(JOB, self.namespace).items)
        for pod in self.kube.list(POD, self.namespace).items:
            self.kube.delete(POD, pod["metadata"]["name"], self.namespace)
        until(lambda: not self.kube.list(POD, self.namespace).items)
        for node in self.kube.list(NODE, labels={"tests": self.namespace}).items:
            self.kube.delete(NODE, node["metadata"]["name"])

    def _condition(self, job: str, kind: str) -> Object | None:
        found = self.kube.get(JOB, job, self.namespace) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        over = {it["type"]: it for it in conditions if it["status"] == "True"}
        assert not over.keys() & ({"Complete", "Failed"} - {kind}), over
        return over.get(kind)

    def _object(self, api_version: str, kind: str, name: str, spec: Object) -> Object:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def phase_of(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase"))


def containers_of(pod: Object) -> dict[str, Object]:
    """The status of each container by its name, in the order in which they run."""
    status = pod.get("status") or {}
    found = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return {str(it["name"]): it for it in found}


def states(pod: Object) -> dict[str, str]:
    """Of each container, with the exit code where there is one."""
    found = {}
    for name, container in containers_of(pod).items():
        ((state, more),) = container["state"].items()
        found[name] = f"{state} {more['exitCode']}" if state == "terminated" else state
    return found


def conditions(pod: Object) -> dict[str, Object]:
    return {str(it["type"]): it for it in (pod.get("status") or {}).get("conditions") or ()}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
