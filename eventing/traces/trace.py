"""One Workspace's trace, from ``kubectl apply`` to the first answer: spans of a recording, and of its model servers.

The same recording gives the same spans to the byte: ids are made of what the recording calls things. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from eventing.recordings.recording import Recording
from eventing.traces.lives import STAGE, Lives, root
from eventing.traces.scope import Scope, scope_of
from eventing.traces.sightings import Sightings
from eventing.traces.span import SERVICE, Moment, Span, Value, nanoseconds
from eventing.traces.told import Telling
from kaito.api.conditions import conditions_of
from kaito.api.tracing import FIRST_TOKEN, REVISION, START

#: Of WorkspaceReady.
_TWIN: Final = "WorkspaceSucceeded"


def trace(
    recording: Recording,
    namespace: str,
    name: str,
    served: Callable[[str], Iterable[Span]] = lambda _: (),
    *,
    everything: bool = False,
) -> tuple[Span, ...]:
    """The latest Workspace's of that name, the root first, then as they began; ``served``: what model servers have told
    of a trace. ``everything``: also events of which nothing came. Raises RecordingError."""
    sightings = Sightings(recording)
    scope = scope_of(sightings, namespace, name)
    records = (*recording.deliveries.values(), *recording.decisions.values())
    until = max([scope.since, *(it.when for it in records if scope.then(it))])
    told = tuple(Telling(recording, scope, everything).spans())
    lived = tuple(Lives(sightings, scope, until).spans())
    servers = _servers(served(scope.trace), lived)
    started = {it.attributes.get(REVISION) for it in servers if it.name == START}
    lived = tuple(it for it in lived if STAGE not in it.attributes or it.attributes.get(REVISION) not in started)
    below = _once((*told, *lived, *servers))
    began, ended, attributes, failure = root(sightings, scope, until)
    answers = [it.ended for it in below if any(moment.name == FIRST_TOKEN for moment in it.moments)]
    first = min([nanoseconds(began), *(it.began for it in below)])
    last = max([first, nanoseconds(ended), *([min(answers)] if answers else [])])
    top = Span(scope.trace, scope.root, "", f"workspace {namespace}/{name}", first, last, {SERVICE: "kaito"},
               attributes, _turns(sightings, scope, first), failure=failure)  # fmt: skip
    known = {scope.root, *(it.id for it in below)}
    held = (it if it.parent in known else replace(it, parent=scope.root) for it in below)
    return top, *sorted(held, key=lambda it: (it.began, it.ended, it.id))


def _turns(sightings: Sightings, scope: Scope, began: int) -> tuple[Moment, ...]:
    """When each condition of the Workspace first was True."""
    kinds = {kind for _, obj in sightings.states[scope.uid] for kind in conditions_of(obj)} - {_TWIN}
    found = [(when, kind) for kind in kinds if (when := sightings.became(scope.uid, kind)) is not None]
    return tuple(Moment(kind, max(began, nanoseconds(when))) for when, kind in sorted(found))


def _servers(served: Iterable[Span], lived: Sequence[Span]) -> tuple[Span, ...]:
    """A start is below the pod that it is in."""
    pods = {it.attributes[REVISION]: it.id for it in lived if REVISION in it.attributes and STAGE not in it.attributes}
    return tuple(_placed(it, pods) for it in served)


def _placed(span: Span, pods: Mapping[Value, str]) -> Span:
    pod = pods.get(span.attributes.get(REVISION, "")) if span.name == START else None
    return span if pod is None else replace(span, parent=pod)


def _once(spans: Iterable[Span]) -> tuple[Span, ...]:
    """A span that several files or processes tell of is one."""
    return tuple({it.id: it for it in spans}.values())
