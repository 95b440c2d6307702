"""What a kubelet writes into a pod's status, step by step."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from kaito.api.conditions import rfc3339
from kaito.api.resources import Object
from kaito.api.status import identity
from kaito.runtime.kube import Kube

MANAGER: Final = "kaito-kubelet"
#: The exit code of what ends because it is asked to.
_ASKED: Final = 143


def is_over(pod: Object) -> bool:
    """Its containers have ended, and none is started again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


class PodStatus:
    """Of one pod, whose address is ``address``. Each step gives the whole status there is then."""

    def __init__(self, pod: Object, address: str) -> None:
        self._pod, self._address = pod, address
        spec = pod["spec"]
        self._init = [container["name"] for container in spec.get("initContainers") or ()]
        self._main = [container["name"] for container in spec["containers"]]
        self._images = {it["name"]: it["image"] for it in (*(spec.get("initContainers") or ()), *spec["containers"])}
        self._since: dict[str, tuple[str, str]] = {}
        self._states: dict[str, Object] = {
            name: {"waiting": {"reason": "PodInitializing" if self._init else "ContainerCreating"}}
            for name in (*self._init, *self._main)
        }

    def unschedulable(self, message: str) -> Object:
        scheduled = self._condition("PodScheduled", met=False, reason="Unschedulable", message=message)
        return {"phase": "Pending", "conditions": [scheduled]}

    def anew(self) -> Object:
        """Without what an earlier run said: the API server lets no container that has ended wait again."""
        return {"phase": "Pending", "conditions": [self._condition("PodScheduled", met=True)]}

    def creating(self) -> Object:
        return self._made("Pending")

    def waiting(self, container: str, reason: str, message: str) -> Object:
        self._states[container] = {"waiting": {"reason": reason, "message": message}}
        return self._made("Pending")

    def running(self, container: str, since: str) -> Object:
        self._states[container] = {"running": {"startedAt": since}}
        return self._made("Pending" if container in self._init else "Running")

    def terminated(self, container: str, code: int, message: str, since: str, *, reason: str = "") -> Object:
        reason = reason or ("Error" if code else "Completed")
        ended = {"exitCode": code, "reason": reason, "startedAt": since, "finishedAt": _now()}
        self._states[container] = {"terminated": {**ended, **({"message": message} if message else {})}}
        return self._made("Failed" if code else "Pending" if container in self._init else "Running")

    def succeeded(self) -> Object:
        return self._made("Succeeded")

    def failed(self, reason: str, message: str) -> Object:
        return {**self._made("Failed"), "reason": reason, "message": message}

    def ended(self, *, node: str | None) -> Object:
        """Before its time: it was deleted, or its ``node`` went."""
        running = {name: state["running"]["startedAt"] for name, state in self._states.items() if "running" in state}
        made: Object = {"phase": "Failed", "conditions": []}
        for name, since in running.items():
            made = self.terminated(name, _ASKED, "", since)
        if node:
            said = f"PodGC: node {node} no longer exists"
            made["conditions"].append(
                self._condition("DisruptionTarget", met=True, reason="DeletionByPodGC", message=said)
            )
        return made

    def write(self, kube: Kube, status: Object) -> None:
        """Raises KubeError."""
        kube.apply({**identity(self._pod), "status": status}, manager=MANAGER, subresource="status")

    def _made(self, phase: str) -> Object:
        done = all(self._succeeded(name) for name in self._init)
        runs = phase == "Running" and all("running" in self._states[name] for name in self._main)
        return {
            "phase": phase,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": [
                self._condition("PodScheduled", met=True),
                self._condition("Initialized", met=done),
                self._condition("ContainersReady", met=runs),
                self._condition("Ready", met=runs),
            ],
            **({"initContainerStatuses": [self._container(name) for name in self._init]} if self._init else {}),
            "containerStatuses": [self._container(name) for name in self._main],
        }

    def _condition(self, kind: str, *, met: bool, reason: str = "", message: str = "") -> Object:
        """Its time moves with its status only."""
        status = "True" if met else "False"
        if kind not in self._since or self._since[kind][0] != status:
            self._since[kind] = status, _now()
        said = {name: value for name, value in (("reason", reason), ("message", message)) if value}
        return {"type": kind, "status": status, "lastTransitionTime": self._since[kind][1], **said}

    def _succeeded(self, name: str) -> bool:
        return bool(self._states[name].get("terminated", {}).get("exitCode") == 0)

    def _container(self, name: str) -> Object:
        state = self._states[name]
        return {
            "name": name,
            "image": self._images[name],
            "imageID": "",  # a process of this machine has none
            "ready": "running" in state or (name in self._init and self._succeeded(name)),
            "started": "running" in state,
            "restartCount": 0,
            "state": state,
        }


def _now() -> str:
    return rfc3339(datetime.now(UTC))
