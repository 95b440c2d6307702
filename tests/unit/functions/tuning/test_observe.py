"""What is read, and how often; and what a pod that trains may answer."""

from __future__ import annotations

import copy
import json
import time
from collections import Counter
from typing import cast

import pytest
import urllib3

from functions.tuning import observe as module
from functions.tuning.app import list_keys
from functions.tuning.observe import observe
from functions.tuning.observed import Observed
from functions.tuning.progress import ask
from kaito.api.resources import CONFIG_MAP, JOB, POD, WORKSPACE, Kind, Object
from kaito.runtime.keys import Key
from kaito.runtime.kube import Kube, Labels, ObjectList
from tests.unit.functions.tuning.scenes import DONE, RUNNING, TRAINING, config, job, pod, workspace

POEMS = Key(WORKSPACE, "default", "poems")


class Server:
    """Has these objects, and counts what it is asked."""

    def __init__(self, *objects: Object) -> None:
        self.objects, self.asked = objects, Counter[str]()

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        self.asked[f"get {kind.kind}"] += 1
        found = (it for it in self.objects if Kind.of(it) == kind and it["metadata"]["name"] == name)
        return next(found, None)

    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
        self.asked[f"list {kind.kind}"] += 1
        time.sleep(0.01)  # in which others would ask too
        return ObjectList(tuple(it for it in self.objects if Kind.of(it) == kind), "1")

    def list_installed(
        self, kind: Kind, labels: Labels | None = None, namespace: str | None = None
    ) -> tuple[Object, ...]:
        return self.list(kind, namespace, labels).items


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that are asked how far they are."""
    hosts: list[str] = []

    def answer(host: str) -> Object:
        hosts.append(host)
        return {"step": 1, "steps": 2}

    monkeypatch.setattr(module, "ask", answer)
    return hosts


def looked(*objects: Object) -> Observed:
    return observe(cast("Kube", Server(*objects)), [POEMS])[POEMS]


def named(name: str, obj: Object) -> Object:
    obj = copy.deepcopy(obj)
    obj["metadata"]["name"] = name
    return obj


def test_all_that_decides_is_read(asked: list[str]) -> None:
    obj, made, found = workspace(), job(), config()
    assert looked(obj, made, TRAINING, found) == Observed(obj, made, (TRAINING,), found, {"step": 1, "steps": 2})
    assert asked == ["10.0.0.7"]


@pytest.mark.parametrize(
    "there", [pod(), pod(RUNNING), pod(DONE, RUNNING, podIP=None)], ids=["new", "fetches", "no IP"]
)
def test_only_one_that_trains_is_asked(asked: list[str], there: Object) -> None:
    assert looked(workspace(), job(), there).progress is None
    assert asked == []


def test_of_one_that_goes_only_the_job_counts(asked: list[str]) -> None:
    going = workspace()
    going["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert looked(going, job(), TRAINING, config()) == Observed(going, job())


def test_one_that_serves_is_none_of_ours() -> None:
    serves = {**workspace(), "tuning": None, "inference": {"preset": {"name": "phi-4"}}}
    assert looked(serves, job()) == Observed(None)
    assert looked() == Observed(None)


def test_several_are_listed_once_a_kind(asked: list[str]) -> None:
    names = [f"poems-{number}" for number in range(4)]
    server = Server(*(named(name, workspace()) for name in names), *(named(name, job()) for name in names))
    found = observe(cast("Kube", server), [Key(WORKSPACE, "default", name) for name in names])
    assert [key.name for key in found] == names
    assert all(it.workspace and it.job and it.job["metadata"]["name"] == key.name for key, it in found.items())
    kinds = (WORKSPACE, JOB, POD, CONFIG_MAP)
    assert [server.asked[f"list {kind.kind}"] for kind in kinds] == [1, 1, 4, 0]
    assert [server.asked[f"get {kind.kind}"] for kind in kinds] == [0, 0, 0, 4]


def test_the_sweep_is_of_those_that_tune() -> None:
    serves = {**named("phi", workspace()), "tuning": None}
    assert list_keys(cast("Kube", Server(named("b", workspace()), serves, named("a", workspace())))) == [
        Key(WORKSPACE, "default", "a"),
        Key(WORKSPACE, "default", "b"),
    ]


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body, self.released = status, body, False

    def read(self, amount: int) -> bytes:
        return self.body[:amount]

    def release_conn(self) -> None:
        self.released = True


@pytest.mark.parametrize(
    ("status", "body", "progress"),
    [
        (200, {"step": 3, "loss": 1.5, "eval_loss": None}, {"step": 3, "loss": 1.5, "eval_loss": None}),
        (404, {"step": 3}, None),
        (200, [3], None),
        (200, {"step": "<b>"}, None),
        (200, {"step": [1]}, None),
        (200, {"remaining": float("inf")}, None),
        (200, {"text": "x" * 70_000}, None),
    ],
    ids=["well", "other server", "a list", "words", "nested", "infinite", "long"],
)  # fmt: skip
def test_an_answer_is_numbers_or_none(
    monkeypatch: pytest.MonkeyPatch, status: int, body: object, progress: Object | None
) -> None:
    answer = Answer(status, json.dumps(body).encode())
    monkeypatch.setattr("functions.tuning.progress._pool.request", lambda *_, **__: answer)
    assert ask("10.0.0.7") == progress
    assert answer.released


def test_no_answer_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[str] = []

    def refuse(_: str, address: str, **__: object) -> None:
        addresses.append(address)
        raise urllib3.exceptions.HTTPError("refused")

    monkeypatch.setattr("functions.tuning.progress._pool.request", refuse)
    assert ask("10.0.0.7") is None
    assert ask("fd00::7") is None
    assert addresses == ["http://10.0.0.7:5000/progress", "http://[fd00::7]:5000/progress"]
