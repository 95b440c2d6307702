"""How long a model's server took to start, stage by stage: asked of each revision once it serves. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kaito.api.resources import STATEFUL_SET, Kind, Object
from kaito.runtime.plan import Beyond

#: The field of a Workspace's status, which the answer is written to by a field manager of its own.
FIELD: Final = "startup"
PATH: Final = "/startup"


@dataclass(frozen=True, slots=True)
class Measure(Beyond):
    """Ask ``url`` and write the answer, as that of ``revision``, into the Workspace's status. It tells only."""

    workspace: Object
    revision: str
    url: str
    tells = True

    def __str__(self) -> str:
        return f"measure Workspace {self.workspace['metadata']['name']}: {self.revision} serves"


def unmeasured(workspace: Object, carrier: Object, url: str) -> tuple[Measure, ...]:
    """What asks the server that the carrier, which is ready, runs now; nothing where it has been asked."""
    revision = _revision(carrier)
    known = ((workspace.get("status") or {}).get(FIELD) or {}).get("revision")
    inside = str(((carrier.get("status") or {}).get("address") or {}).get("url", "")) or url
    return (Measure(workspace, revision, inside + PATH),) if revision and inside and revision != known else ()


def _revision(carrier: Object) -> str:
    """The one that answers now, of a Knative Service or a StatefulSet."""
    status = carrier.get("status") or {}
    return str(status.get("updateRevision" if Kind.of(carrier) == STATEFUL_SET else "latestReadyRevisionName") or "")
