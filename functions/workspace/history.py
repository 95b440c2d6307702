"""What a Workspace has asked for over time: a ControllerRevision each, of which the latest few are kept. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kaito.api.meta import ObjectMeta
from kaito.api.redaction import redacted
from kaito.api.resources import CONTROLLER_REVISION, WORKSPACE_OWNER, Object
from kaito.api.status import controller_reference
from kaito.api.workspace import ANNOTATION_HASH, ANNOTATION_REVISION, LABEL_NAMESPACE, LABEL_WORKSPACE
from kaito.runtime.plan import Apply, Delete, Effect

#: How many are kept, the current one included; a Deployment keeps as many.
LIMIT: Final = 10
_ASKED: Final = ("resource", "inference", "tuning")


def is_recorded(workspace: Object) -> bool:
    """Does the Workspace's annotation say that what it asks for now is in its history?"""
    return (workspace["metadata"].get("annotations") or {}).get(ANNOTATION_HASH) == digest(workspace)


def digest(workspace: Object) -> str:
    """A name for what the Workspace asks for."""
    return hashlib.sha256(json.dumps(redacted(_asked(workspace)), sort_keys=True).encode()).hexdigest()


def record(workspace: Object, revisions: Sequence[Object]) -> tuple[tuple[Effect, ...], Mapping[str, str]]:
    """The writes that put it on record, to be followed by these annotations of the Workspace.

    What was asked for before and is again is the latest revision now, as a Deployment has it.
    """
    if is_recorded(workspace):
        return (), {}
    uid = workspace["metadata"]["uid"]  # another Workspace of this name had a history of its own
    name = f"{workspace['metadata']['name']}-{hashlib.sha256(f'{uid}/{digest(workspace)}'.encode()).hexdigest()[:10]}"
    own = [it for it in revisions if any(owner["uid"] == uid for owner in it["metadata"].get("ownerReferences") or ())]
    others = sorted((it for it in own if it["metadata"]["name"] != name), key=_number)
    here = next((_number(it) for it in own if it["metadata"]["name"] == name), 0)
    last = _number(others[-1]) if others else 0
    number = here if here > last else last + 1
    noted = Apply(_revision(workspace, name, number), "what is asked for changed")
    return (noted, *_forget(others)), {ANNOTATION_HASH: digest(workspace), ANNOTATION_REVISION: str(number)}


def _forget(others: Sequence[Object]) -> Iterator[Delete]:
    for revision in others[: max(0, len(others) - LIMIT + 1)]:
        yield Delete.of(revision, f"the latest {LIMIT} are kept")


def _revision(workspace: Object, name: str, number: int) -> Object:
    meta = workspace["metadata"]
    return {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": CONTROLLER_REVISION.kind,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {LABEL_WORKSPACE: meta["name"], LABEL_NAMESPACE: meta["namespace"]},
            "ownerReferences": [controller_reference(WORKSPACE_OWNER, ObjectMeta.model_validate(meta))],
        },
        "revision": number,
        "data": _asked(workspace),
    }


def _asked(workspace: Object) -> Object:
    return {name: workspace[name] for name in _ASKED if name in workspace}


def _number(revision: Object) -> int:
    return int(revision["revision"])
