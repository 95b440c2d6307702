"""A recorded history once more, on an embedded platform: as it is, and with faults. Both have to end the same."""

from __future__ import annotations

import contextlib
import difflib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from eventing.recordings.lives import Step
from kaito.api.claims import CLAIM_KINDS
from kaito.api.conditions import conditions_of
from kaito.api.resources import (
    JOB,
    KNATIVE_SERVICE,
    NODE,
    PING_SOURCE,
    STATEFUL_SET,
    WORKSPACE,
    Object,
)
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE
from kaito.embedded.error import EmbeddedError
from kaito.embedded.faults import Fault, Faults
from kaito.embedded.platform import SYSTEM_NAMESPACE, Platform
from kaito.runtime.kube import Kube, KubeError

#: Seconds between two steps at most, however long it was in the history.
_LONGEST_GAP: Final = 3.0
#: Seconds without a change after which a history is over, where something is under way still (a model that this machine
#: cannot run, say), and where nothing is.
_STILL, _SETTLED = 30.0, 2.0
#: Seconds that a history may take to come to its end, and with faults to the same one.
_LIMIT: Final = 300.0
_POLL: Final = 0.25
_SLOW_SWEEP: Final = "kaito-sweep"
_MANAGER: Final = "kaito-rerun"
Report = Callable[[str], None]


class NotRun(EmbeddedError):
    """The history cannot be run here; the message says what stands against it."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """``difference``: where the end with faults is another, in lines; none where both are the same."""

    difference: tuple[str, ...]
    happened: Counter[Fault]
    seconds: float


def rerun(
    steps: Sequence[Step], config_maps: Sequence[Object], directory: Path, faults: Faults, report: Report
) -> Rerun:
    """Both, each on a platform of its own in ``directory``. Raises EmbeddedError."""
    report("the history without faults")
    with _platform(directory / "calm", None, config_maps, report) as kube:
        _play(kube, steps, report)
        wanted = _settled(kube)
    report("the history with faults")
    began = time.monotonic()
    with _platform(directory / "faults", faults, config_maps, report) as kube:
        _play(kube, steps, report)
        found = _until(lambda: end(kube), wanted)
    return Rerun(tuple(_difference(wanted, found)), faults.happened, time.monotonic() - began)


@contextlib.contextmanager
def _platform(directory: Path, faults: Faults | None, config_maps: Sequence[Object], report: Report) -> Iterator[Kube]:
    platform = Platform(directory, faults=faults)
    platform.start(report)
    try:
        for namespace in {it["metadata"]["namespace"] for it in config_maps}:
            _have_namespace(platform.kube, namespace)
        for obj in config_maps:
            platform.kube.apply(obj, manager=_MANAGER)
        yield platform.kube
    finally:
        platform.stop()


def _play(kube: Kube, steps: Sequence[Step], report: Report) -> None:
    never, before = threading.Event(), None
    for step in steps:
        if before is not None:
            never.wait(max(0.0, min((step.when - before).total_seconds(), _LONGEST_GAP)))
        before = step.when
        report(str(step))
        namespace, name = step.name
        try:
            if step.deleted:
                kube.delete(WORKSPACE, name, namespace)
            else:
                _have_namespace(kube, namespace)
                kube.apply(step.workspace, manager=_MANAGER)
        except KubeError as error:
            raise NotRun(f"{step}: {error}") from error


def _have_namespace(kube: Kube, name: str) -> None:
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager=_MANAGER)


def _settled(kube: Kube) -> Object:
    """How it ends: as it is when nothing has changed for a while."""
    never, limit = threading.Event(), time.monotonic() + _LIMIT
    seen, since = end(kube), time.monotonic()
    while time.monotonic() < limit:
        never.wait(_POLL)
        now = end(kube)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > (_SETTLED if _nothing_under_way(kube) else _STILL):
            return seen
    raise NotRun(f"the history does not come to an end within {_LIMIT:.0f} s, without any fault")


def _nothing_under_way(kube: Kube) -> bool:
    """The functions have fast sweeps while something is."""
    return {it["metadata"]["name"] for it in kube.list(PING_SOURCE, SYSTEM_NAMESPACE).items} == {_SLOW_SWEEP}


def _until(look: Callable[[], Object], wanted: Object) -> Object:
    never, limit = threading.Event(), time.monotonic() + _LIMIT
    while (found := look()) != wanted and time.monotonic() < limit:
        never.wait(_POLL)
    return found


def end(kube: Kube) -> Object:
    """All that there is of Workspaces, without what is another each time: uids, times, and names made of these."""
    workspaces = {_name(it): _workspace(it) for it in kube.list(WORKSPACE).items}
    claims = [it for kind in CLAIM_KINDS for it in kube.list_installed(kind)]
    nodes = [it for it in kube.list(NODE).items if LABEL_WORKSPACE in (it["metadata"].get("labels") or {})]
    carriers = [
        it for kind in (KNATIVE_SERVICE, STATEFUL_SET, JOB) for it in kube.list(kind).items if _of(it) is not None
    ]
    return {
        "workspaces": workspaces,
        "claims": dict(Counter(f"{it['kind']} of {_of(it)}" for it in claims)),
        "nodes": dict(Counter(f"of {_of(it)}" for it in nodes)),
        "carriers": {f"{it['kind']} {_name(it)}": _asks(it) for it in carriers},
    }


def _workspace(obj: Object) -> Object:
    found = {kind: f"{it.status} {it.reason}" for kind, it in sorted(conditions_of(obj).items())}
    return {"state": (obj.get("status") or {}).get("state", ""), "conditions": found}


def _of(obj: Object) -> str | None:
    """The Workspace that it is of."""
    labels = obj["metadata"].get("labels") or {}
    name = labels.get(LABEL_WORKSPACE)
    return f"{labels.get(LABEL_NAMESPACE, '')}/{name}" if name else None


def _asks(obj: Object) -> Any:
    """What its containers are to do."""
    containers = obj["spec"]["template"]["spec"]["containers"]
    return [{name: it[name] for name in ("name", "image", "command", "args") if name in it} for it in containers]


def _name(obj: Object) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def _difference(wanted: Object, found: Object) -> Iterator[str]:
    then, now = (yaml.safe_dump(it, width=120).splitlines() for it in (wanted, found))
    yield from difflib.unified_diff(then, now, "without faults", "with faults", lineterm="")
