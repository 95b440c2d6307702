"""Where a Job stands, by its status and its pods': which container runs, what it said last, what came of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from functions.tuning.render import FETCH, KILLED, PULL, PUSH, TRAIN
from kaito.api.conditions import conditions_of
from kaito.api.resources import Object

#: Kubelet's word for what the kernel has ended.
_OUT_OF_MEMORY: Final = "OOMKilled"
_ADVICE: Final = {
    TRAIN: "the node's memory did not suffice: set TrainingArguments.per_device_train_batch_size to 1,"
    " gradient_checkpointing to true or DatasetConfig.max_length to less, take method qlora, or an instanceType with"
    " more",
    PUSH: "the node's memory did not suffice to push: take an instanceType with more",
    FETCH: "the node's memory did not suffice to fetch: take an instanceType with more",
}
#: Reasons for which a container waits that do not pass by themselves.
_STUCK: Final = frozenset(
    ["CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ErrImagePull", "ImageInspectError",
     "ImagePullBackOff", "InvalidImageName", "RunContainerError"]
)  # fmt: skip

Outcome = Literal["", "Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class Failure:
    """``reason`` is one word; ``stage`` is empty where no container ever ran."""

    stage: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}" if self.stage else self.message


@dataclass(frozen=True, slots=True)
class Standing:
    """``outcome`` of the Job; ``stage`` that runs now, of the latest pod; ``waits`` for what, where none does;
    ``failure`` of the latest pod that failed; ``digest`` of what was pushed; ``host`` is the pod's address."""

    outcome: Outcome
    stage: str = ""
    waits: str = ""
    failure: Failure | None = None
    digest: str = ""
    host: str = ""


def standing(job: Object, pods: Sequence[Object]) -> Standing:
    """``pods`` of whatever Job; those of this one count."""
    own = sorted((pod for pod in pods if _is_of(pod, job)), key=_age)
    outcome = _outcome(job)
    failure = next(filter(None, (_failure(pod) for pod in reversed(own))), None)
    if outcome == "Failed" and failure is None:
        said = conditions_of(job)["Failed"]
        failure = Failure("", said.reason or "JobFailed", said.message)
    if not own:
        return Standing(outcome, waits="its pod is being made", failure=failure)
    latest, status = own[-1], own[-1].get("status") or {}
    stage, waits = _now(latest)
    digest = next((str(said["digest"]) for said in map(_said, _containers(status)) if "digest" in said), "")
    return Standing(outcome, "" if outcome else stage, waits, failure, digest, str(status.get("podIP") or ""))


def stage_of(container: str) -> str:
    """What a container of the pod does, by its name."""
    return FETCH if container.startswith(PULL) else container


def _outcome(job: Object) -> Outcome:
    met = {kind for kind, condition in conditions_of(job).items() if condition.status == "True"}
    return "Succeeded" if "Complete" in met else "Failed" if "Failed" in met else ""


def _now(pod: Object) -> tuple[str, str]:
    """The stage that runs, or is about to after another has ended well; else what the pod waits for."""
    status = pod.get("status") or {}
    ends = [end for it in _containers(status) if (end := (it.get("state") or {}).get("terminated"))]
    if status.get("phase") == "Failed" or any(end.get("exitCode") for end in ends):
        return "", "its next pod is being made"
    scheduled = conditions_of(pod).get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return "", scheduled.message
    stage = ""
    for container in _containers(status):
        state, before = container.get("state") or {}, stage
        stage = stage_of(container["name"])
        if "terminated" in state:
            continue
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in _STUCK:
            return "", f"{stage}: {waiting['reason']}: {waiting.get('message', '')}"
        return (stage, "") if before or "running" in state else ("", "its pod is being started")
    return (stage, "") if stage else ("", "its pod is being started")


def _failure(pod: Object) -> Failure | None:
    """Why a pod failed: the first container that ended otherwise than well, in its own words."""
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return None
    disruption = conditions_of(pod).get("DisruptionTarget")
    if disruption is not None and disruption.status == "True":  # which kills containers too, of whatever memory
        return Failure("", disruption.reason or "Disrupted", disruption.message or "its pod had to go")
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated") or {}
        code = ended.get("exitCode", 0)
        if not code:
            continue
        stage, said = stage_of(container["name"]), _said(container)
        if ended.get("reason") == _OUT_OF_MEMORY or (code == KILLED and not said.get("permanent")):
            return Failure(stage, "OutOfMemory", _ADVICE.get(stage, _ADVICE[TRAIN]))
        if "message" in said:
            return Failure(stage, str(said.get("reason") or "Failed"), str(said["message"]))
        where = f"see kubectl logs {pod['metadata']['name']} -c {container['name']}"
        last = str(ended.get("message") or "").strip() or f"exit code {code}: {where}"
        return Failure(stage, "ContainerFailed", last)
    return Failure("", str(status.get("reason") or "PodFailed"), str(status.get("message") or "its pod failed"))


def _said(container: Object) -> dict[str, Any]:
    """The last words of one of ours, which are JSON; of others' nothing."""
    ended = (container.get("state") or {}).get("terminated") or {}
    try:
        said = json.loads(ended.get("message") or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _containers(status: Object) -> Iterator[Object]:
    """In the order in which they run."""
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _is_of(pod: Object, job: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == job["metadata"]["uid"] for owner in owners)


def _age(pod: Object) -> tuple[str, str]:
    meta = pod["metadata"]
    return str(meta.get("creationTimestamp", "")), str(meta["name"])
