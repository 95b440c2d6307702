"""What is dumped is loaded again, of every function and every kind of plan."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.provisioner.aks.effects import AbortPool, CreatePool, DeletePool
from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from functions.provisioner.observed import Observed as ProvisionerObserved
from functions.tuning.observed import Observed as TuningObserved
from functions.workspace.observed import Observed as WorkspaceObserved
from functions.workspace.startup import Measure
from kaito.api.resources import NODE, Object
from kaito.runtime.kube import Conflict, KubeError
from kaito.runtime.plan import Announce, Apply, Delete, Mark, Plan, Refused, Tell
from kaito.runtime.recording import codec
from kaito.runtime.recording.codec import CodecError

TYPES = (Pool, AzureError, CreatePool, DeletePool, AbortPool, Measure)
OBJECT: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": {"b": "c"}}, "items": [1, 2]}
EVENT: Object = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"name": "a"}}
ANNOUNCED: Object = {"id": "1", "type": "sh.kaito.workspace.ready", "data": {"url": "http://a", "workerNodes": ["b"]}}
APPLY = Apply(OBJECT, "wanted", subresource="status", tells=True, beside=frozenset({"b", "a"}))
POOL = Pool("p", "Failed", tags={"a": "b"}, error=AzureError(200, "Quota", "none left", retry_after=3.5))


def there_and_back(value: Any, *types: type) -> Any:
    kept: dict[str, Object] = {}

    def keep(obj: Object) -> str:
        kept[codec.digest(obj)] = obj
        return codec.digest(obj)

    data = json.loads(codec.canonical(codec.dump(value, keep)))
    return codec.load(data, kept.__getitem__, (*TYPES, *types))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.5,
        "text",
        math.inf,
        datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        OBJECT,
        {"plain": ["json", 1]},
        (OBJECT, (OBJECT, "b")),
        frozenset({"b", "a"}),
        Plan(),
        Plan((APPLY, Delete(NODE, "a", "", "u", "gone"), Tell(EVENT)), requeue_after=10.0, settled=False),
        Plan((Announce(ANNOUNCED), Announce(ANNOUNCED, tells=False))),
        Plan((Mark(OBJECT, ("f",), "mine", {"a": "b"}), Measure(OBJECT, "r", "http://a/startup"))),
        Plan(
            (CreatePool("p", {"properties": {"count": 1}}, "no node"), DeletePool("p", "e", "w"), AbortPool("p", "w"))
        ),
        POOL.tags,
    ],
)
def test_a_value_comes_back(value: Any) -> None:
    assert there_and_back(value) == value


def test_what_is_observed_comes_back() -> None:
    workspace = WorkspaceObserved(OBJECT, nodes=(OBJECT, EVENT), config=OBJECT)
    assert there_and_back(workspace, WorkspaceObserved) == workspace
    tuning = TuningObserved(OBJECT, job=EVENT, progress={"step": 3, "of": [1]})
    assert there_and_back(tuning, TuningObserved) == tuning
    found = there_and_back(ProvisionerObserved(OBJECT, missing=2, pool=POOL, cluster="c"), ProvisionerObserved)
    assert (found.claim, found.missing, found.cluster) == (OBJECT, 2, "c")
    assert (found.pool.name, found.pool.state, found.pool.tags) == ("p", "Failed", {"a": "b"})


@pytest.mark.parametrize(
    "error", [KubeError(422, "Invalid", "no"), Conflict(409, "Conflict", "again"), AzureError(0, "", "away", 1.5)]
)
def test_an_error_comes_back(error: Any) -> None:
    found = there_and_back(Refused(APPLY, error))
    assert found.effect == APPLY
    assert type(found.error) is type(error)
    assert (str(found.error), found.error.status, found.error.permanent) == (str(error), error.status, error.permanent)


def test_the_same_has_the_same_digest() -> None:
    assert codec.digest({"a": 1, "b": [2]}) == codec.digest({"b": [2], "a": 1})
    assert codec.digest({"a": 1}) != codec.digest({"a": 2})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"$class": "Gone2"}, "this release has no Gone2"),
        ({"$class": "Delete", "colour": "red"}, "Delete is another one in this release"),
        ({"$what": 1}, "nothing that this release knows"),
    ],
)
def test_what_this_release_cannot_read_is_named(data: Object, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        codec.load(data, lambda _: OBJECT, TYPES)
