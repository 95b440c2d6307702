"""The conditions and facts of a Workspace that tunes, each with a reason a person can act on. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from functions.tuning.render import CHECK, FETCH, PUSH, TRAIN
from functions.tuning.stages import Failure, Standing
from kaito.api.conditions import conditions_of
from kaito.api.meta import Condition, ConditionStatus
from kaito.api.resources import Object
from kaito.api.status import event
from kaito.api.workspace import Workspace, condition

NAME: Final = "kaito-tuning"
SUMS: Final = ("WorkspaceReady", "WorkspaceSucceeded")
#: What the workspace function says of the same Workspace.
SHARED: Final = (
    "observedGeneration", "startup", "url", "workerNodes",
    "MachineReady", "NodeClaimReady", "ResourceReady", "WorkspaceDeleting",
)  # fmt: skip
_DOES: Final = {
    CHECK: ("CheckingRegistry", "whether the adapter may be pushed is being asked"),
    FETCH: ("FetchingData", "what the tuning needs is being fetched"),
    TRAIN: ("Training", "the model is being trained"),
    PUSH: ("PushingAdapter", "the adapter is being pushed"),
}
#: What stays when nobody says it any more.
_REACHED: Final = ("step", "steps", "loss", "evalLoss")
#: Events tell of a tuning's progress so many times.
_TENTHS: Final = 10


def awaiting(workspace: Workspace, reason: str, message: str) -> Condition:
    return condition(workspace, "JobStarted", "Unknown", reason, message)


def failed(workspace: Workspace, reason: str, message: str) -> Condition:
    return condition(workspace, "JobStarted", "False", reason, message)


def started(workspace: Workspace, it: Standing, progress: Object | None) -> Condition:
    """Of a Job that is there."""
    assert workspace.tuning is not None
    if it.outcome == "Succeeded":
        return condition(workspace, "JobStarted", "True", "Succeeded", _made(workspace, it))
    if it.outcome == "Failed":
        failure = it.failure or Failure("", "JobFailed", "the Job failed")
        return failed(workspace, failure.reason, f"{str(failure).rstrip('.')}. {_AGAIN}")
    if it.stage in _DOES:
        reason, message = _DOES[it.stage]
        if it.stage == TRAIN and progress:
            message = f"{message}: {_reached(progress)}"
        if it.failure is not None:
            message += f" (again: the last try failed with {it.failure.reason}, {it.failure})"
        return condition(workspace, "JobStarted", "True", reason, message)
    if it.failure is not None:
        return awaiting(
            workspace, "Retrying", f"the last try failed with {it.failure.reason}, {it.failure}; {it.waits}"
        )
    return awaiting(workspace, "Starting", it.waits)


_AGAIN: Final = "Change tuning, or its ConfigMap, and it is tried anew."


def overall(
    workspace: Workspace, resource: Condition | None, job: Condition, it: Standing | None
) -> tuple[Condition, ...]:
    """What sums up: true once it is tuned, whatever becomes of the nodes then."""
    if it is not None and it.outcome == "Succeeded":
        ready = condition(workspace, "WorkspaceReady", "True", "WorkspaceReady", job.message)
    elif resource is not None and resource.status == "False" and job.reason == "WaitingForNodes":
        told = f"{resource.type}: {resource.message}"
        ready = condition(workspace, "WorkspaceReady", "False", resource.reason, told)
    else:
        status: ConditionStatus = "False" if job.status == "False" else "Unknown"
        ready = condition(workspace, "WorkspaceReady", status, job.reason, f"{job.type}: {job.message}")
    return (ready, ready.model_copy(update={"type": "WorkspaceSucceeded"}))


def facts(
    workspace: Workspace, job: Condition, ready: Condition, it: Standing | None, progress: Object | None, asked: str
) -> Object:
    """The status besides its conditions. What a tuning had reached stays, when nobody says it any more, until another
    begins."""
    running = job.status == "True" and ready.status == "Unknown"
    state = {"True": "Succeeded", "False": "Failed", "Unknown": "Running" if running else "Pending"}[ready.status]
    if it is None:
        return {"state": state}
    before = workspace.status.tuning.model_dump(by_alias=True, exclude_defaults=True) if workspace.status.tuning else {}
    kept = _REACHED if before.get("asked") == asked else ()
    tuning: Object = {"asked": asked, **{name: before[name] for name in kept if name in before}}
    tuning |= _numbers(progress or {})
    if it.outcome == "Succeeded" and "steps" in tuning:
        tuning["step"] = tuning["steps"]
    if it.stage:
        tuning["stage"] = it.stage
    if it.stage != TRAIN:
        tuning.pop("remaining", None)
    if digest := _pushed(workspace, it):
        tuning |= {"digest": digest, "image": _image(workspace)}
    return {"state": state, "tuning": tuning}


def milestones(workspace: Object, job: Object, progress: Object, now: datetime) -> Iterator[Object]:
    """A Kubernetes Event for each tenth of the steps, told once however often it is seen: not where the status, which
    is written after it, has reached that tenth."""
    tenth = _tenth(progress)
    if not tenth or tenth == _tenth((workspace.get("status") or {}).get("tuning") or {}):
        return
    told = f"{workspace['metadata']['uid']}/{job['metadata']['uid']}/{tenth}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    yield event(workspace, digest, "Normal", "TuningProgress", _reached(progress), NAME, now)


def _tenth(progress: Object) -> int:
    step, steps = int(progress.get("step") or 0), int(progress.get("steps") or 0)
    return step * _TENTHS // steps if steps else 0


def before(obj: Object) -> Condition | None:
    """What the workspace function says of the nodes."""
    return conditions_of(obj).get("ResourceReady")


def _made(workspace: Workspace, it: Standing) -> str:
    if image := _image(workspace):
        digest = _pushed(workspace, it)
        return f"the adapter is in {image}" + (f", digest {digest}" if digest else "")
    return "the adapter is in the folder adapter of tuning.output.volumeSource"


def _image(workspace: Workspace) -> str:
    assert workspace.tuning is not None
    return workspace.tuning.output.image


def _pushed(workspace: Workspace, it: Standing) -> str:
    """The digest; of a Job that is over it stays, when the pod that said it is gone with its node."""
    said = workspace.status.tuning.digest if workspace.status.tuning else ""
    return it.digest or (said if it.outcome == "Succeeded" else "")


def _reached(progress: Object) -> str:
    numbers = _numbers(progress)
    said = [f"step {numbers.get('step', 0)} of {numbers.get('steps', 0)}"]
    said += [f"loss {numbers['loss']}"] if "loss" in numbers else []
    said += [f"{numbers['remaining']} left"] if "remaining" in numbers else []
    return ", ".join(said)


def _numbers(progress: Object) -> Object:
    """As the status holds them."""
    found: Object = {name: int(progress[name]) for name in ("step", "steps") if progress.get(name)}
    for name, field in (("loss", "loss"), ("eval_loss", "evalLoss")):
        if (value := progress.get(name)) is not None:
            found[field] = f"{float(value):.4f}"
    if (left := progress.get("remaining")) is not None:
        found["remaining"] = _duration(left)
    return found


def _duration(seconds: Any) -> str:
    whole = round(float(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{whole % 60}s" if minutes else f"{whole}s"
