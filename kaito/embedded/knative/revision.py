"""What a Knative Service's template says, read once: one immutable Revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kaito.api.claims import GPU
from kaito.api.durations import seconds
from kaito.api.resources import Object

INTERNAL_ERROR: Final = "InternalError"
DEFAULT_PORT: Final = 8080
_AUTOSCALING: Final = "autoscaling.knative.dev/"


class PodFailure(Exception):
    """Why a replica does not run: ``reason`` as a pod's status would say it, and a sentence with the next step."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


def internal_error(error: Exception) -> PodFailure:
    """What nobody foresaw, as a failure like any other, so that a status tells of it; the log has the traceback."""
    failure = PodFailure(
        INTERNAL_ERROR,
        f"the embedded platform failed on it: {type(error).__name__}: {error}; its log has more: please report it",
    )
    failure.__cause__ = error
    return failure


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a Service. ``template`` is the Service's ``spec.template`` as it was admitted."""

    namespace: str
    service: str
    name: str
    template: Object

    @property
    def spec(self) -> Object:
        """The pod spec, which in Knative also holds timeoutSeconds and containerConcurrency."""
        spec: Object = self.template["spec"]
        return spec

    @property
    def container(self) -> Object:
        container: Object = self.spec["containers"][0]
        return container

    @property
    def container_port(self) -> int:
        """The port the container would have in a pod; here its process is told another one in PORT."""
        ports = self.container.get("ports") or [{}]
        return int(ports[0].get("containerPort") or DEFAULT_PORT)

    @property
    def gpus(self) -> int:
        return gpus_of(self.spec)

    @property
    def min_scale(self) -> int:
        return int(self._annotation("min-scale", 0))

    @property
    def idle_limit(self) -> float:
        """Seconds without a request after which it scales to zero: Knative's stable window and pod retention."""
        window = seconds(self._annotation("window", "60s"))
        return window + seconds(self._annotation("scale-to-zero-pod-retention-period", "0s"))

    @property
    def timeout(self) -> float:
        """Seconds a request may take, waiting for a replica included."""
        return float(self.spec.get("timeoutSeconds") or 300)

    @property
    def concurrency(self) -> int | None:
        """How many requests the container takes at once; None for any number."""
        return int(self.spec.get("containerConcurrency") or 0) or None

    @property
    def progress_deadline(self) -> float:
        """Seconds a replica may take from its start to its first readiness."""
        annotations = (self.template.get("metadata") or {}).get("annotations") or {}
        return seconds(annotations.get("serving.knative.dev/progress-deadline", "600s"))

    def _annotation(self, name: str, default: Any) -> Any:
        annotations = (self.template.get("metadata") or {}).get("annotations") or {}
        return annotations.get(_AUTOSCALING + name, default)


def gpus_of(spec: Object) -> int:
    """The GPUs that a pod of this spec holds: those of all its containers together, or of one that goes before them."""
    first = max((_limit(container) for container in spec.get("initContainers") or ()), default=0)
    return max(first, sum(map(_limit, spec["containers"])))


def _limit(container: Object) -> int:
    return int(((container.get("resources") or {}).get("limits") or {}).get(GPU, 0))
