"""The way of a Workspace from its making to an answer, by stages: from its conditions' times, from what its server says
of its start, and from the recorded states before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from console.states import State
from kaito.api.conditions import conditions_of, parse_time
from kaito.api.durations import seconds
from kaito.api.meta import Condition
from kaito.api.resources import Object

Standing = Literal["done", "now", "failed", "ready"]


@dataclass(frozen=True, slots=True)
class Stage:
    """``ended`` is None while it lasts; ``note``: what is said of it."""

    name: str
    began: datetime
    ended: datetime | None
    standing: Standing
    note: str = ""


def timeline(obj: Object, before: Sequence[State] = ()) -> tuple[Stage, ...]:
    """Of a Workspace as it is; ``before``: as it was, in that order."""
    meta, found = obj["metadata"], conditions_of(obj)
    if not meta.get("creationTimestamp"):
        return ()
    made = parse_time(meta["creationTimestamp"])
    stages = [*_stages(obj, before, made, found)]
    if deleted := meta.get("deletionTimestamp"):
        when, said = parse_time(deleted), found.get("WorkspaceDeleting")
        stages = [it for it in stages if it.ended is not None and it.ended <= when]
        stages.append(Stage("deleting", when, None, "now", said.message if said else ""))
    return tuple(stages)


def _stages(obj: Object, before: Sequence[State], made: datetime, found: dict[str, Condition]) -> Iterator[Stage]:
    nodes = found.get("ResourceReady") or found.get("WorkspaceReady")
    have_nodes = _since(nodes)
    yield _stage("nodes", made, have_nodes, nodes)
    if have_nodes is None:
        return
    began = max(made, have_nodes)
    if "tuning" in obj:
        yield from _tuning(obj, before, began, found)
        return
    serves = found.get("InferenceReady")
    ready = _since(serves)
    if ready is None:
        yield _stage("server", began, None, serves)
        return
    start = _start(obj, ready)
    loads = max(began, start[0].began) if start else ready
    yield _stage("pod", began, loads, serves)
    yield from start
    yield Stage("ready", ready, None, "ready", serves.message if serves else "")


def _start(obj: Object, ready: datetime) -> list[Stage]:
    """What its server did before it was ready, one after the other."""
    stages, ended = list[Stage](), ready
    for stage in reversed(((obj.get("status") or {}).get("startup") or {}).get("stages") or ()):
        try:
            began = ended - timedelta(seconds=seconds(stage["duration"]))
        except ValueError:
            continue
        stages.insert(0, Stage(stage["name"], began, ended, "done"))
        ended = began
    return stages


def _tuning(obj: Object, before: Sequence[State], began: datetime, found: dict[str, Condition]) -> Iterator[Stage]:
    job, whole = found.get("JobStarted"), found.get("WorkspaceReady")
    tuned, failed = _since(whole), _since(job, "False")
    *reached, (last, since) = [*_reached(obj, before, began)] or [("job", began)]
    for (name, start), (_, end) in pairwise([*reached, (last, since)]):
        yield Stage(name, start, end, "done")
    standing: Standing = "failed" if failed else "done" if tuned else "now"
    yield Stage(last, since, failed or tuned, standing, job.message if job else "")
    if tuned is not None:
        yield Stage("ready", tuned, None, "ready", whole.message if whole else "")


def _reached(obj: Object, before: Sequence[State], began: datetime) -> Iterator[tuple[str, datetime]]:
    """The stages of this very tuning, each with when it was first seen; the first began with the nodes."""
    asked = _told(obj).get("asked")
    known = set[str]()
    for state in before:
        told = _told(state.object)
        stage = str(told.get("stage", ""))
        if stage and stage not in known and told.get("asked") == asked:
            yield stage, max(began, state.when) if known else began
            known.add(stage)


def _told(obj: Object) -> Object:
    found: Object = (obj.get("status") or {}).get("tuning") or {}
    return found


def _stage(name: str, began: datetime, ended: datetime | None, said: Condition | None) -> Stage:
    if ended is not None:
        return Stage(name, began, max(began, ended), "done", said.message if said else "")
    failed = _since(said, "False")
    note = said.message if said else "no function has seen it"
    return Stage(name, began, failed and max(began, failed), "failed" if failed else "now", note)


def _since(said: Condition | None, status: str = "True") -> datetime | None:
    """When it came to be so; None where it is not."""
    found = said is not None and said.status == status and said.last_transition_time
    return parse_time(found) if found else None
