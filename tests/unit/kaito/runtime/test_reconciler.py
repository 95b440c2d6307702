"""Coalescing: what is answered when, and what it costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaito.api.resources import NODE, WORKSPACE, Kind, Object
from kaito.runtime import progress
from kaito.runtime.announcer import announcer
from kaito.runtime.decisions import Decisions
from kaito.runtime.events import Event
from kaito.runtime.keys import Key
from kaito.runtime.kube import Conflict, Kube, KubeError, Unavailable
from kaito.runtime.plan import Announce, Apply, Plan, Refused, Tell
from kaito.runtime.reconciler import CONFLICT_TRIES, Function, Reconciler
from kaito.runtime.sweep import fast_sweep
from tests.receiver import Received, Receiver

A, B = Key(WORKSPACE, "default", "a"), Key(WORKSPACE, "default", "b")
LIMIT = 10


class RecordingKube:
    """Stands in for the API server: it says what was written, and fails when told to."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.refuses: dict[str, KubeError] = {}
        self.conflicts = 0
        self.may_tell = threading.Event()
        self.may_tell.set()

    def apply(self, obj: Object, *, manager: str, subresource: str | None = None) -> Object:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict(409, "Conflict", "somebody was faster")
        if obj["metadata"]["name"] in self.refuses:
            raise self.refuses[obj["metadata"]["name"]]
        if obj["metadata"]["name"].endswith("is told"):
            assert self.may_tell.wait(LIMIT)
        self.written.append(obj["metadata"]["name"])
        return obj

    def create(self, obj: Object) -> Object:
        return self.apply(obj, manager="")

    def delete(self, kind: Kind, name: str, namespace: str | None = None, **_: Any) -> None:
        self.written.append(f"-{name}")


def own(name: str) -> Object:
    return {"metadata": {"name": name, "uid": f"uid-{name}"}}


def about(name: str, obj: Object, *, verb: str = "update") -> Event:
    """An event about that Workspace itself."""
    attributes = {"type": f"dev.knative.apiserver.resource.{verb}", "datacontenttype": "application/json"}
    attributes |= {"apiversion": "kaito.sh/v1alpha1", "kind": "Workspace", "namespace": "default", "name": name}
    return Event(attributes, json.dumps(obj).encode())


class Fixture:
    def __init__(self, plan: Callable[[str], Plan] = lambda _: Plan(), *, workers: int = 2, broker: str = "") -> None:
        self.kube = RecordingKube()
        self.observations: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failure: Exception | None = None
        self.live = [A, B]
        self._plan = plan
        self.hears = True
        self.own = own
        self.others: list[Object] = []
        function = Function(
            name="test",
            keys=lambda event: (Key(WORKSPACE, "default", event.attributes["name"]),) if event.body else (),
            stirs=NODE,
            list_keys=self._list,
            observe=self._observe,
            own=lambda name: self.own(name),
            others=lambda name: self.others,
            decisions=Decisions(self._decide, self._refused, ()),
            fast_sweep=fast_sweep("test"),
            hears=lambda _: self.hears,
        )
        announces = announcer({"K_SINK": broker})
        self.reconciler = Reconciler(function, cast(Kube, self.kube), workers=workers, announcer=announces)

    def _list(self, kube: Kube) -> Sequence[Key]:
        if self.failure:
            raise self.failure
        return self.live

    def _observe(self, kube: Kube, keys: Sequence[Key]) -> Mapping[Key, str]:
        self.observations.append([key.name for key in keys])
        self.entered.set()
        assert self.gate.wait(LIMIT)
        if self.failure:
            raise self.failure
        return {key: key.name for key in keys}

    def _decide(self, observed: str, now: datetime) -> Plan:
        return self._plan(observed)

    def _refused(self, observed: str, write: Refused, now: datetime) -> Plan:
        return applying(f"refused: {write}", settled=False)

    def run(self, *keys: Key) -> list[Future[None]]:
        futures = self.reconciler.submit(keys)
        assert not wait(futures, LIMIT).not_done
        return futures


def applying(name: str, *, settled: bool = True) -> Plan:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    return Plan((Apply(obj, "wanted"),), settled=settled)


def test_a_delivery_is_answered_by_a_reconcile_that_began_after_it() -> None:
    fixture = Fixture()
    fixture.gate.clear()
    (first,) = fixture.reconciler.submit([A])
    assert fixture.entered.wait(LIMIT)
    late = fixture.reconciler.submit([A]) + fixture.reconciler.submit([A])
    fixture.gate.set()
    assert not wait([first, *late], LIMIT).not_done
    assert fixture.observations == [["a"], ["a"]], "one for the first, one for both that came during it"


def test_many_waiting_keys_cost_one_observation() -> None:
    fixture = Fixture(workers=1)
    fixture.gate.clear()
    first = fixture.reconciler.submit([A])
    assert fixture.entered.wait(LIMIT)
    more = fixture.reconciler.submit(Key(WORKSPACE, "default", f"w{i}") for i in range(20))
    fixture.gate.set()
    assert not wait([*first, *more], LIMIT).not_done
    assert [len(names) for names in fixture.observations] == [1, 20]


def telling(name: str, *, settled: bool = True) -> Plan:
    """One thing to do, and two that tell of it."""
    (done,) = applying(f"{name} is done").effects
    head = {"apiVersion": "v1", "metadata": {"name": f"{name} is told", "namespace": "default"}}
    event = Tell({**head, "kind": "Event", "involvedObject": {"name": name}, "reason": "Done"})
    return Plan(
        (done, event, Apply({**head, "kind": "Workspace", "status": {}}, "Done", subresource="status", tells=True)),
        settled=settled,
    )


def test_what_is_done_comes_before_what_is_told_of_it() -> None:
    fixture = Fixture(telling, workers=1)
    fixture.run(A, B)
    assert fixture.kube.written[:4] == ["a is done", "b is done", "a is told", "a is told"]


def test_progress_is_told_a_moment_later_and_nobody_waits_for_that() -> None:
    fixture = Fixture(lambda name: telling(name, settled=False))
    fixture.kube.may_tell.clear()
    fixture.run(A)
    assert "a is told" not in fixture.kube.written
    fixture.kube.may_tell.set()
    with fixture.reconciler._changed:
        assert fixture.reconciler._changed.wait_for(lambda: fixture.kube.written.count("a is told") == 2, LIMIT)


def test_progress_that_is_over_when_it_would_be_told_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", LIMIT)
    plans = iter([telling("soon", settled=False), telling("over")])
    fixture = Fixture(lambda _: next(plans))
    fixture.run(A)
    fixture.run(A)
    assert [name for name in fixture.kube.written if "told" in name] == ["over is told", "over is told"]


def test_progress_is_told_although_something_known_has_been_heard_since() -> None:
    fixture = Fixture(lambda name: telling(name, settled=False))
    fixture.run(A)
    assert answered(fixture.reconciler.hear(about("a", own("a"))))
    with fixture.reconciler._changed:
        assert fixture.reconciler._changed.wait_for(lambda: fixture.kube.written.count("a is told") == 2, LIMIT)
    assert fixture.observations == [["a"]]


def test_a_conflict_is_looked_at_again_and_forgotten() -> None:
    fixture = Fixture(applying)
    fixture.kube.conflicts = CONFLICT_TRIES - 1
    (future,) = fixture.run(A)
    assert future.exception() is None
    assert len(fixture.observations) == CONFLICT_TRIES


def test_a_conflict_that_stays_is_the_deliverys_answer() -> None:
    fixture = Fixture(applying)
    fixture.kube.conflicts = CONFLICT_TRIES
    (future,) = fixture.run(A)
    assert isinstance(future.exception(), Conflict)


@pytest.mark.parametrize("failure", [Unavailable(0, "Unreachable", "no API server"), RuntimeError("a bug")])
def test_what_prevents_a_reconcile_is_the_deliverys_answer(failure: Exception) -> None:
    fixture = Fixture()
    fixture.failure = failure
    (future,) = fixture.run(A)
    assert future.exception() is failure


def test_a_write_that_is_refused_for_good_is_told_instead_of_tried_again() -> None:
    fixture = Fixture(applying)
    fixture.kube.refuses["a"] = KubeError(403, "Forbidden", "no rights")
    (future,) = fixture.run(A)
    assert future.exception() is None, "a redelivery would change nothing"
    assert fixture.kube.written[0] == "refused: apply ConfigMap a: wanted: Forbidden: no rights"
    assert len(fixture.observations) == 1


def test_what_is_unsettled_after_a_cold_start_gets_the_fast_sweep() -> None:
    fixture = Fixture(lambda _: Plan(settled=False))
    fixture.run(A)
    with fixture.reconciler._changed:
        assert fixture.reconciler._changed.wait_for(lambda: fixture.kube.written == ["test-fast"], LIMIT)


def test_requeue_comes_without_an_event() -> None:
    plans = iter([Plan(requeue_after=0.01, settled=False), applying("done")])
    fixture = Fixture(lambda _: next(plans, Plan()))
    fixture.run(A)
    with fixture.reconciler._changed:
        assert fixture.reconciler._changed.wait_for(lambda: "done" in fixture.kube.written, LIMIT)


def test_the_fast_sweep_lives_only_while_something_is_unsettled() -> None:
    unsettled = {"a"}
    fixture = Fixture(lambda name: Plan(settled=name not in unsettled))

    def written(expected: list[str]) -> bool:
        with fixture.reconciler._changed:
            return fixture.reconciler._changed.wait_for(lambda: fixture.kube.written == expected, LIMIT)

    fixture.run(B)
    assert written(["-test-fast"]), "a start does not know, so the first quiet moment clears it"
    fixture.run(A)
    assert written(["-test-fast", "test-fast"])
    fixture.run(B)
    assert written(["-test-fast", "test-fast"]), "a is unsettled still"
    unsettled.clear()
    assert not wait(fixture.reconciler.sweep(), LIMIT).not_done
    assert written(["-test-fast", "test-fast", "-test-fast"])


@pytest.mark.parametrize("live", [[], [A]])
def test_what_may_not_be_heard_of_is_looked_for_until_it_is(live: list[Key]) -> None:
    fixture = Fixture()
    fixture.live, fixture.hears = live, False

    def written(expected: list[str]) -> bool:
        with fixture.reconciler._changed:
            return fixture.reconciler._changed.wait_for(lambda: fixture.kube.written == expected, LIMIT)

    fixture.reconciler.sweep()
    assert written(["test-fast"])
    fixture.run(B)
    assert written(["test-fast"]), "that one event came says nothing of the others"
    fixture.hears = True
    fixture.reconciler.sweep()
    assert written(["test-fast", "-test-fast"])


def test_a_sweep_that_fails_is_tried_again() -> None:
    """As at an installation: an API server that has just got a CRD does not list its objects yet."""
    fixture = Fixture()
    fixture.failure = KubeError(429, "TooManyRequests", "storage is (re)initializing")
    with pytest.raises(KubeError, match="initializing"):
        fixture.reconciler.sweep()
    assert fixture.kube.written == ["test-fast"]
    fixture.failure = None
    fixture.reconciler.sweep()
    with fixture.reconciler._changed:
        assert fixture.reconciler._changed.wait_for(lambda: "-test-fast" in fixture.kube.written, LIMIT)


def answered(futures: list[Future[None]]) -> bool:
    return not wait(futures, LIMIT).not_done and all(future.exception() is None for future in futures)


def test_an_event_that_says_what_is_known_costs_nothing_until_it_says_more() -> None:
    fixture = Fixture()
    for _ in range(3):
        assert answered(fixture.reconciler.hear(about("a", own("a"))))
    assert fixture.observations == [["a"]]
    changed = {**own("a"), "resource": {}}
    for event in (about("a", changed), about("a", own("a"), verb="delete"), about("b", own("b"))):
        assert answered(fixture.reconciler.hear(event))
    assert fixture.observations == [["a"], ["a"], ["a"], ["b"]]


def test_what_comes_while_its_object_is_looked_at_is_judged_by_that_look() -> None:
    """A, B, A: the second A may be newer than the look that B asked for, which saw B."""
    fixture = Fixture()
    saw = [own("a"), {**own("a"), "resource": {}}, own("a")]
    fixture.own = lambda name: saw[len(fixture.observations) - 1]
    fixture.run(A)
    fixture.gate.clear()
    fixture.entered.clear()
    looks = fixture.reconciler.hear(about("a", saw[1]))
    assert fixture.entered.wait(LIMIT)
    again = fixture.reconciler.hear(about("a", saw[2]))
    fixture.gate.set()
    assert answered([*looks, *again])
    assert len(fixture.observations) == 3
    assert answered(fixture.reconciler.hear(about("a", saw[2])))
    assert len(fixture.observations) == 3


def test_what_hints_at_nothing_may_be_what_the_unsettled_wait_for() -> None:
    fixture = Fixture(lambda name: Plan(settled=name != "b"))
    node = Event({"type": "update", "kind": "Node", "apiversion": "v1", "name": "brought"})
    pod = Event({"type": "update", "kind": "Pod", "apiversion": "v1", "name": "other"})
    fixture.run(A)
    assert fixture.reconciler.hear(node) == [], "nobody waits"
    fixture.run(B)
    assert fixture.reconciler.hear(pod) == []
    assert answered(fixture.reconciler.hear(node))
    assert fixture.observations == [["a"], ["b"], ["b"]]


def test_after_a_failure_every_event_is_a_reason_to_look() -> None:
    fixture = Fixture()
    fixture.run(A)
    fixture.failure = KubeError(500, "InternalError", "down")
    fixture.run(A)
    fixture.failure = None
    assert answered(fixture.reconciler.hear(about("a", own("a"))))
    assert len(fixture.observations) == 3


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=12))
def test_no_delivery_is_ever_left_without_an_answer(deliveries: list[list[str]]) -> None:
    fixture = Fixture()
    futures = [
        future
        for names in deliveries
        for future in fixture.reconciler.submit([Key(WORKSPACE, "default", name) for name in names])
    ]
    assert not wait(futures, LIMIT).not_done
    assert all(future.exception() is None for future in futures)
    assert sum(len(names) for names in fixture.observations) <= len(futures)


class TestAnnouncements:
    """What is sent to a Broker: before the write that makes it old news, and no reason to hold that back."""

    def announcing(self, name: str, *, last: bool = False) -> Plan:
        """With a status, or the ``last`` that there is to say of it, with what ends it."""
        event = {"specversion": "1.0", "id": name, "source": "/a", "type": "t", "subject": "W/a", "data": {}}
        obj = {"apiVersion": "v1", "kind": "Workspace", "metadata": {"name": name}}
        return Plan((Announce(event, tells=not last), Apply(obj, "Done", tells=not last)))

    @pytest.mark.parametrize("last", [False, True])
    def test_it_is_sent_before_what_makes_it_old_news(self, last: bool) -> None:
        before: list[bool] = []

        def answer(received: Received, count: int) -> tuple[str, int]:
            before.append("a" in fixture.kube.written)
            return "", 202

        with Receiver(answer) as broker:
            fixture = Fixture(lambda name: self.announcing(name, last=last), broker=broker.url)
            fixture.run(A)
        assert [received.headers["ce-id"] for received in broker.received] == ["a"]
        assert before == [False]
        assert "a" in fixture.kube.written

    def test_that_it_is_lost_holds_nothing_back(self) -> None:
        with Receiver(lambda *_: ("no", 400)) as broker:
            fixture = Fixture(self.announcing, broker=broker.url)
            (future,) = fixture.run(A)
        assert len(broker.received) == 1
        assert future.exception() is None
        assert "a" in fixture.kube.written

    def test_without_a_broker_the_rest_is_done(self) -> None:
        fixture = Fixture(self.announcing)
        (future,) = fixture.run(A)
        assert future.exception() is None
        assert "a" in fixture.kube.written
