"""What others are told of a Workspace that tunes: that its Job works, and what came of it. Pure.

Each is a transition of its status, and comes before the write that makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kaito.api.announcements import TuningFailed, TuningStarted, TuningSucceeded, about, event
from kaito.api.conditions import conditions_of, turned
from kaito.api.meta import Condition
from kaito.api.resources import Object
from kaito.api.workspace import Workspace
from kaito.runtime.plan import Announce


def announcements(
    obj: Object, workspace: Workspace, job: Condition, ready: Condition, facts: Object, now: datetime
) -> Iterator[Announce]:
    """``job`` is JobStarted, ``ready`` sums up."""
    assert workspace.tuning is not None
    before = conditions_of(obj)
    what = {"preset": workspace.tuning.preset.name, "image": workspace.tuning.output.image}
    if job.status == "True" and (since := turned(job, before)) is not None:
        started = TuningStarted(**about(obj, job.reason, job.message), **what)
        yield Announce(event(obj, started, since, now))
    since, said = turned(ready, before), about(obj, ready.reason, ready.message)
    if since is not None and ready.status == "True":
        digest = facts.get("tuning", {}).get("digest", "")
        yield Announce(event(obj, TuningSucceeded(**said, **what, digest=digest), since, now))
    elif since is not None and ready.status == "False":
        yield Announce(event(obj, TuningFailed(**said, **what), since, now))
