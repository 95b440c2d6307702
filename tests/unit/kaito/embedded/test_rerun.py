"""What is compared of two runs of a history, and what stands against running it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from eventing.recordings.lives import Step
from kaito.api.resources import KNATIVE_SERVICE, MACHINE, NAMESPACE, NODE, PING_SOURCE, WORKSPACE, Kind, Object
from kaito.embedded import rerun
from kaito.embedded.faults import Fault, Faults
from kaito.runtime.kube import Kube, KubeError, Labels, ObjectList
from tests.unit.functions.workspace.scenes import machine, node, workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = (Step(NOW, workspace()), Step(NOW, workspace(), deleted=True))


class Cluster:
    """An API server that has some objects, and is told what to do."""

    def __init__(self, *objects: Object, refuses: bool = False) -> None:
        self.objects, self.refuses = objects, refuses
        self.told: list[str] = []

    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
        return ObjectList(tuple(it for it in self.objects if Kind.of(it) == kind), "1")

    def list_installed(self, kind: Kind) -> tuple[Object, ...]:
        return self.list(kind).items

    def apply(self, obj: Object, *, manager: str) -> None:
        if self.refuses and Kind.of(obj) == WORKSPACE:
            raise KubeError(422, "Invalid", "no such preset")
        if Kind.of(obj) != NAMESPACE:
            self.told.append(f"apply {obj['metadata']['name']}")

    def delete(self, kind: Kind, name: str, namespace: str) -> None:
        self.told.append(f"delete {name}")


def pings(*names: str) -> list[Object]:
    return [
        {"apiVersion": PING_SOURCE.api_version, "kind": PING_SOURCE.kind, "metadata": {"name": name}} for name in names
    ]


def served(image: str) -> Object:
    spec = {"containers": [{"name": "model", "image": image, "env": [{"name": "A", "value": "b"}]}]}
    return {
        "apiVersion": KNATIVE_SERVICE.api_version,
        "kind": KNATIVE_SERVICE.kind,
        "metadata": {"name": "phi", "namespace": "default", "labels": {"kaito.sh/workspace": "phi"}},
        "spec": {"template": {"spec": spec}},
    }


def run(monkeypatch: pytest.MonkeyPatch, calm: Cluster, faulty: Cluster) -> rerun.Rerun:
    clusters = iter((calm, faulty))

    @contextmanager
    def platform(*_: Any) -> Iterator[Kube]:
        yield cast(Kube, next(clusters))

    monkeypatch.setattr(rerun, "_platform", platform)
    monkeypatch.setattr(rerun, "_POLL", 0.001)
    monkeypatch.setattr(rerun, "_SETTLED", 0.002)
    monkeypatch.setattr(rerun, "_STILL", 0.004)
    monkeypatch.setattr(rerun, "_LIMIT", 0.5)
    return rerun.rerun(STEPS, (), Path("nowhere"), Faults([Fault.DROP], 1), lambda _: None)


def world(image: str = "a:1") -> list[Object]:
    ready = {
        **workspace(),
        "status": {"state": "Ready", "conditions": [{"type": "A", "status": "True", "reason": "B"}]},
    }
    return [ready, machine(), node(), served(image), *pings("kaito-sweep")]


def test_both_are_told_the_same_and_another_name_of_a_machine_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    other = copy.deepcopy(world())
    other[1]["metadata"] |= {"name": "ws1", "uid": "1"}
    other[2]["metadata"] |= {"name": "ws1", "uid": "2"}
    calm, faulty = Cluster(*world()), Cluster(*other)
    assert run(monkeypatch, calm, faulty).difference == ()
    assert calm.told == faulty.told == ["apply phi", "delete phi"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda objects: objects.pop(0), "-    state: Ready"),
        (lambda objects: objects.pop(1), "-  Machine of default/phi: 1"),
        (lambda objects: objects.append(objects[1]), "+  Machine of default/phi: 2"),
        (lambda objects: objects.pop(2), "-  of default/phi: 1"),
        (lambda objects: objects.insert(0, objects.pop(3) and served("b:2")), "+  - image: b:2"),
        (lambda objects: objects[0]["status"]["conditions"][0].update(status="False"), "+      A: False B"),
    ],
)
def test_another_end_is_shown(monkeypatch: pytest.MonkeyPatch, change: Any, line: str) -> None:
    objects = copy.deepcopy(world())
    change(objects)
    found = run(monkeypatch, Cluster(*world()), Cluster(*objects))
    assert line in found.difference
    assert found.difference[:2] == ("--- without faults", "+++ with faults")


def test_a_history_is_over_when_nothing_changes_also_where_something_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = [*world(), *pings("kaito-workspace-unsettled")]
    assert run(monkeypatch, Cluster(*still), Cluster(*still)).difference == ()


def test_what_the_api_server_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rerun.NotRun, match="apply workspace default/phi: Invalid: no such preset"):
        run(monkeypatch, Cluster(refuses=True), Cluster())


def test_a_history_that_never_ends_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Restless(Cluster):
        looks = 0

        def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
            found = super().list(kind)
            self.looks += kind == NODE
            return ObjectList(found.items * self.looks, "1") if kind == MACHINE else found

    with pytest.raises(rerun.NotRun, match="does not come to an end"):
        run(monkeypatch, Restless(*world()), Cluster())
