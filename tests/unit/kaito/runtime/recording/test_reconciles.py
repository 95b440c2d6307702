"""What a reconciler tells its recorder: each delivery with its answer, each decision with its causes, each write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from datetime import datetime
from typing import cast

from kaito.api.resources import NODE, WORKSPACE, Object
from kaito.runtime.announcer import announcer
from kaito.runtime.decisions import Decisions
from kaito.runtime.delivery import deliver
from kaito.runtime.events import Event
from kaito.runtime.keys import PING, Key, own_key
from kaito.runtime.kube import Conflict, Kube, KubeError, Unavailable
from kaito.runtime.plan import Announce, Apply, Effect, Plan
from kaito.runtime.reconciler import Function, Reconciler
from kaito.runtime.recording.installation import NOTHING
from kaito.runtime.recording.recorder import Recorder
from tests.receiver import Receiver
from tests.recorded import LIMIT, Kept

KEY = Key(WORKSPACE, "default", "phi")
WORKSPACE_OBJECT: Object = {
    "apiVersion": "kaito.sh/v1alpha1",
    "kind": "Workspace",
    "metadata": {"name": "phi", "namespace": "default", "uid": "u", "resourceVersion": "1"},
}
HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "s",
    "ce-type": "dev.knative.apiserver.resource.update",
    "ce-apiversion": "kaito.sh/v1alpha1",
    "ce-kind": "Workspace",
    "ce-namespace": "default",
    "ce-name": "phi",
    "content-type": "application/json",
}


def applying(*names: str, requeue_after: float | None = None) -> Plan:
    objects = ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}} for name in names)
    return Plan(tuple(Apply(obj, "wanted") for obj in objects), requeue_after=requeue_after)


class World:
    """A function of scripted plans, whose writes end as ``ends`` says of their objects' names."""

    def __init__(
        self, *plans: Plan, ends: Mapping[str, Sequence[Exception | None]] | None = None, broker: str = ""
    ) -> None:
        self.sink = Kept()
        self._plans = list(plans)
        self._ends = {name: list(outcomes) for name, outcomes in (ends or {}).items()}
        self.reads: Exception | None = None
        recorder = Recorder("kaito-test", "1", NOTHING, self.sink)
        announces = announcer({"K_SINK": broker})
        self.reconciler = Reconciler(self._function(), cast(Kube, self), recorder=recorder, announcer=announces)

    def deliver(self, headers: Mapping[str, str] = HEADERS) -> int:
        return deliver(self.reconciler, headers, json.dumps(WORKSPACE_OBJECT).encode()).status

    def close(self) -> Kept:
        assert self.reconciler.recorder is not None
        self.reconciler.recorder.close()
        return self.sink

    def _function(self) -> Function[Object]:
        def keys(event: Event) -> tuple[Key, ...]:
            own = own_key(event.attributes, (WORKSPACE,))
            return (own,) if own else ()

        return Function(
            name="kaito-test",
            keys=keys,
            stirs=NODE,
            list_keys=lambda _: [KEY],
            observe=self._observe,
            decisions=Decisions(self._decide, lambda *_: applying("told"), ()),
            fast_sweep=None,
            hears=lambda _: True,
            own=lambda it: it,
            others=lambda _: (),
            run=self._run,
        )

    def _observe(self, kube: Kube, keys: Sequence[Key]) -> Mapping[Key, Object]:
        if self.reads:
            raise self.reads
        return dict.fromkeys(keys, WORKSPACE_OBJECT)

    def _decide(self, observed: Object, now: datetime) -> Plan:
        return self._plans.pop(0) if self._plans else Plan()

    def _run(self, effect: Effect, kube: Kube, manager: str) -> None:
        assert isinstance(effect, Apply)
        outcomes = self._ends.get(effect.object["metadata"]["name"])
        if outcomes and (error := outcomes.pop(0)) is not None:
            raise error


def test_a_delivery_leads_to_its_decision_its_writes_and_its_answer() -> None:
    world = World(applying("a", "b"))
    assert world.deliver() == 202
    sink = world.close()
    (delivery,), (decision,), (answer,) = sink.of("delivery"), sink.of("decision"), sink.of("answer")
    assert decision["data"]["because"] == [delivery["id"]]
    assert [(it["data"]["decision"], it["data"]["effect"], it["data"]["error"]) for it in sink.of("write")] == [
        (decision["id"], 0, None),
        (decision["id"], 1, None),
    ]
    assert (answer["data"]["delivery"], answer["data"]["status"]) == (delivery["id"], 202)


def test_what_says_nothing_new_is_answered_without_a_decision() -> None:
    world = World()
    assert [world.deliver(), world.deliver()] == [202, 202]
    sink = world.close()
    assert len(sink.of("delivery")) == len(sink.of("answer")) == 2
    assert len(sink.of("decision")) == 1


def test_what_is_no_event_is_recorded_too() -> None:
    world = World()
    assert world.deliver({"content-type": "text/plain"}) == 400
    sink = world.close()
    assert len(sink.of("delivery")) == 1
    assert sink.of("answer")[0]["data"]["reason"].startswith("not a CloudEvent")


def test_a_read_that_fails_is_an_answer() -> None:
    world = World()
    world.reads = Unavailable(503, "", "away")
    assert world.deliver() == 503
    sink = world.close()
    assert not sink.of("decision")
    assert (sink.of("answer")[0]["data"]["status"], sink.of("answer")[0]["data"]["reason"]) == (503, "503: away")


def test_a_sweep_is_the_cause_of_what_it_finds() -> None:
    world = World()
    ping = {name: value for name, value in HEADERS.items() if name[3:] not in ("kind", "name", "namespace")}
    assert world.deliver({**ping, "ce-type": PING}) == 202
    assert not wait(world.reconciler.sweep(), LIMIT).not_done
    sink = world.close()
    assert [it["data"]["because"] for it in sink.of("decision")] == [[sink.of("delivery")[0]["id"]], ["start"]]


def test_a_timer_is_a_cause() -> None:
    world = World(applying("a", requeue_after=0.01), applying("b"), ends={"b": [None]})
    world.deliver()
    world.sink.wait(lambda: len(world.sink.of("decision")) == 2)
    sink = world.close()
    assert [it["data"]["because"] for it in sink.of("decision")][1:] == [["timer"]]


def test_a_conflict_is_a_write_and_a_cause() -> None:
    world = World(applying("a"), applying("a"), ends={"a": [Conflict(409, "Conflict", "again"), None]})
    assert world.deliver() == 202
    sink = world.close()
    first, second = sink.of("decision")
    assert second["data"]["because"] == ["conflict"]
    conflict, done = (it["data"] for it in sink.of("write"))
    assert (conflict["decision"], conflict["error"]["type"]) == (first["id"], "Conflict")
    assert (done["decision"], done["error"]) == (second["id"], None)


def test_a_refused_write_leads_to_another_decision() -> None:
    refused = KubeError(422, "Invalid", "no such field")
    world = World(applying("a", "b"), ends={"a": [refused]})
    assert world.deliver() == 202
    sink = world.close()
    first, second = sink.of("decision")
    assert second["data"]["because"] == [first["id"]]
    assert second["data"]["refused"]["error"] == {
        "$class": "KubeError",
        "status": 422,
        "reason": "Invalid",
        "message": "no such field",
    }
    assert [(it["data"]["decision"], bool(it["data"]["error"])) for it in sink.of("write")] == [
        (first["id"], True),
        (second["id"], False),
    ]


def test_a_write_that_fails_leaves_the_rest_unwritten() -> None:
    world = World(applying("a", "b"), ends={"a": [Unavailable(503, "", "away")]})
    assert world.deliver() == 503
    sink = world.close()
    assert [it["data"]["effect"] for it in sink.of("write")] == [0]
    assert len(sink.of("decision")[0]["data"]["plan"]["effects"]) == 2


ANNOUNCED: Object = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "subject": "W/a", "data": {}}


def test_what_a_broker_does_not_take_is_a_write_that_failed_and_the_rest_is_written() -> None:
    plan = Plan((Announce(ANNOUNCED, tells=False), *applying("a").effects))
    with Receiver(lambda _, count: ("full", 400 if count else 202)) as broker:
        world = World(plan, plan, broker=broker.url)
        assert world.deliver() == 202
        assert not wait(world.reconciler.submit([KEY]), LIMIT).not_done
    sink = world.close()
    assert [(it["data"]["effect"], (it["data"]["error"] or {}).get("type")) for it in sink.of("write")] == [
        (0, None),
        (1, None),
        (0, "Unsent"),
        (1, None),
    ]


def test_without_a_broker_there_is_nothing_to_record() -> None:
    world = World(Plan((Announce(ANNOUNCED),)))
    assert world.deliver() == 202
    sink = world.close()
    assert sink.of("decision")[0]["data"]["plan"]["effects"][0]["$class"] == "Announce"
    assert not sink.of("write")
