"""What of a recording is about one Workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from eventing.recordings.recording import Record, RecordingError
from eventing.traces.sightings import Sightings, object_of
from kaito.api.claims import CLAIM_KINDS
from kaito.api.resources import WORKSPACE, Kind, Object
from kaito.api.tracing import root_span, trace_id, workspace_of
from kaito.runtime.keys import Key, workspace_key


@dataclass(frozen=True, slots=True)
class Scope:
    """The latest Workspace of a name, from its first sight; ``owned`` are the uids of all objects that are its,
    ``subjects`` what decisions about it and its claims are called."""

    uid: str
    namespace: str
    name: str
    since: datetime
    owned: frozenset[str]
    subjects: frozenset[str]

    @property
    def trace(self) -> str:
        return trace_id(self.uid)

    @property
    def root(self) -> str:
        return root_span(self.uid)

    def then(self, record: Record) -> bool:
        return self.since <= record.when

    def decided(self, decision: Record) -> bool:
        """Is it about the Workspace, or one of its claims?"""
        return decision.subject in self.subjects and self.then(decision)

    def told(self, delivery: Record) -> bool:
        """Is it about an object of the Workspace's?"""
        obj = object_of(delivery)
        return obj is not None and obj["metadata"]["uid"] in self.owned


def scope_of(sightings: Sightings, namespace: str, name: str) -> Scope:
    """Of the latest Workspace of that name. Raises RecordingError."""
    known = sorted(_workspaces(sightings), key=lambda it: (it[1], it[0]))
    lives = [(uid, since) for uid, since, named in known if named == (namespace, name)]
    if not lives:
        names = ", ".join(sorted({"/".join(named) for *_, named in known}))
        knows = f"it knows {names}" if names else "it knows none"
        raise RecordingError(f"there is no Workspace {namespace}/{name} in the recording; {knows}")
    uid, since = lives[-1]
    since = min(since, sightings.created(uid) or since)
    owned = _owned(sightings, uid, Key(WORKSPACE, namespace, name), since)
    claims = {str(key) for it in owned if (key := _claim(sightings.states[it][0][1])) is not None}
    subjects = frozenset({str(Key(WORKSPACE, namespace, name)), *claims})
    return Scope(uid, namespace, name, since, owned, subjects)


def _workspaces(sightings: Sightings) -> Iterator[tuple[str, datetime, tuple[str, str]]]:
    """Uid, when it was first seen, namespace and name."""
    for uid, states in sightings.states.items():
        when, obj = states[0]
        if workspace_of(obj) == uid:
            yield uid, when, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _owned(sightings: Sightings, uid: str, key: Key, since: datetime) -> frozenset[str]:
    """Those that it controls or that are labelled so, and what these own."""
    found, before = {uid}, 0
    while len(found) > before:
        before = len(found)
        found |= {
            other
            for other, states in sightings.states.items()
            if _owners(states[-1][1]) & found or (states[0][0] >= since and _labelled(states[-1][1], key))
        }
    return frozenset(found)


def _owners(obj: Object) -> set[str]:
    return {str(it.get("uid")) for it in obj["metadata"].get("ownerReferences") or ()}


def _labelled(obj: Object, key: Key) -> bool:
    return workspace_key(obj, WORKSPACE) == key


def _claim(obj: Object) -> Key | None:
    kind = Kind.of(obj)
    return Key(kind, "", obj["metadata"]["name"]) if kind in CLAIM_KINDS else None
