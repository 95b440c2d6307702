"""The broker over real HTTP on loopback."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from eventing.broker import Broker
from eventing.delivery import Attempt, Unresolved
from eventing.message import Message
from kaito.runtime.events import Event, new, to_binary
from tests.receiver import Answer, Received, Receiver

BROKER = {"kind": "Broker", "metadata": {"namespace": "ns", "name": "default"}}
WORKSPACE = {"filters": [{"exact": {"kind": "Workspace"}}]}


def trigger(name: str, **spec: Any) -> dict[str, Any]:
    """A Trigger whose subscriber is called like it."""
    return {
        "kind": "Trigger",
        "metadata": {"namespace": "ns", "name": name},
        "spec": {"broker": "default", "subscriber": {"ref": {"kind": "Service", "name": name}}, **spec},
    }


def event(kind: str = "Workspace", **attributes: str) -> tuple[dict[str, str], bytes]:
    return to_binary(new({"type": "t", "source": "/s", "kind": kind, **attributes}, b"{}"))


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[Message] = []
        self.deliveries: list[tuple[str, int, int]] = []

    def on_event(self, message: Message) -> None:
        self.events.append(message)

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None:
        self.deliveries.append((trigger, attempt.number, attempt.status))


class Platform:
    """A broker, and receivers by the name that destinations call them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.receivers: dict[str, Receiver] = {}
        self.seen = Seen()
        self.broker = Broker(self._resolve, self.seen, workers=4)
        self.broker.start()
        self.http = stack.enter_context(httpx.Client(trust_env=False))
        stack.callback(self.broker.stop, 0.1)

    def receiver(self, name: str, answer: Answer | None = None) -> Receiver:
        receiver = self._stack.enter_context(Receiver(answer) if answer else Receiver())
        self.receivers[name] = receiver
        return receiver

    def post(self, content: tuple[dict[str, str], bytes], path: str = "ns/default") -> httpx.Response:
        namespace, _, name = path.partition("/")
        headers, body = content
        return self.http.post(self.broker.address(namespace, name), headers=headers, content=body)

    def _resolve(self, destination: Mapping[str, Any], namespace: str) -> str:
        name = destination["ref"]["name"]
        if name not in self.receivers:
            raise Unresolved(f"Service {namespace}/{name} has no address")
        return self.receivers[name].url


@pytest.fixture
def platform() -> Iterator[Platform]:
    with ExitStack() as stack:
        yield Platform(stack)


@pytest.mark.parametrize(
    ("send", "status"),
    [
        (lambda p: p.post(event()), 202),
        (lambda p: p.post(event(), "ns/other"), 404),
        (lambda p: p.post(event(), "other/default"), 404),
        (lambda p: p.post(({}, b"hello")), 400),
        (lambda p: p.post(event(knativebrokerttl="1")), 400),
        (lambda p: p.post(({"content-type": "application/cloudevents+json"}, b"[]")), 400),
        (lambda p: p.http.get(p.broker.address("ns", "default")), 405),
        (lambda p: p.http.options(p.broker.address("ns", "default")), 200),
    ],
)
def test_ingress(platform: Platform, send: Callable[[Platform], httpx.Response], status: int) -> None:
    platform.broker.configure([BROKER], [])
    assert send(platform).status_code == status
    assert len(platform.seen.events) == (1 if status == 202 else 0)


@pytest.mark.parametrize(("path", "content", "status"), [("default", event(), 202), ("other", event(), 404)])
def test_sources_in_this_process_get_the_same_answers(
    platform: Platform, path: str, content: tuple[dict[str, str], bytes], status: int
) -> None:
    platform.broker.configure([BROKER], [])
    headers, body = content
    with httpx.Client(mounts=platform.broker.mounts) as inside:
        url = platform.broker.address("ns", path)
        assert inside.post(url, headers=headers, content=body).status_code == status
        assert inside.post(url, content=b"hello").status_code == 400
    assert len(platform.seen.events) == (1 if status == 202 else 0)


def test_each_trigger_gets_what_it_wants(platform: Platform) -> None:
    workspaces, everything = platform.receiver("workspaces"), platform.receiver("everything")
    elsewhere = platform.receiver("elsewhere")
    platform.broker.configure(
        [BROKER, {"kind": "Broker", "metadata": {"namespace": "ns", "name": "other"}}],
        [trigger("workspaces", **WORKSPACE), trigger("everything"), trigger("elsewhere", broker="other")],
    )
    for kind in ("Workspace", "Node"):
        platform.post(event(kind))
    assert len(everything.wait(2)) == 2
    assert [one.headers["ce-kind"] for one in workspaces.wait(1)] == ["Workspace"]
    assert platform.broker.drain(5)
    assert elsewhere.received == []


def test_a_slow_trigger_does_not_hold_up_another(platform: Platform) -> None:
    release = threading.Event()

    def slowly(received: Received, count: int) -> Any:
        release.wait(10)
        return "", 202

    slow, quick = platform.receiver("slow", slowly), platform.receiver("quick")
    platform.broker.configure([BROKER], [trigger("slow"), trigger("quick")])
    for _ in range(8):
        platform.post(event())
    assert len(quick.wait(8)) == 8
    assert len(slow.received) < 8
    release.set()
    assert len(slow.wait(8)) == 8


def test_retries_then_the_dead_letter_sink(platform: Platform) -> None:
    platform.receiver("broken", lambda received, count: ("no room", 503))
    dead = platform.receiver("dead")
    delivery = {
        "retry": 2,
        "backoffPolicy": "exponential",
        "backoffDelay": "PT0.01S",
        "deadLetterSink": {"ref": {"kind": "Service", "name": "dead"}},
    }
    platform.broker.configure([{**BROKER, "spec": {"delivery": delivery}}], [trigger("broken")])
    platform.post(event())
    (letter,) = dead.wait(1)
    assert letter.headers["ce-knativeerrorcode"] == "503"
    assert letter.headers["ce-knativeerrordest"] == platform.receivers["broken"].url
    assert base64.b64decode(letter.headers["ce-knativeerrordata"]) == b"no room"
    assert letter.headers["ce-kind"] == "Workspace"
    assert "prefer" not in letter.headers
    assert platform.seen.deliveries == [("ns/broken", 1, 503), ("ns/broken", 2, 503), ("ns/broken", 3, 503)]


def test_a_subscriber_that_appears_late_gets_its_event(platform: Platform) -> None:
    delivery = {"retry": 50, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"}
    platform.broker.configure([BROKER], [trigger("late", delivery=delivery)])
    platform.post(event())
    late = platform.receiver("late")
    assert late.wait(1)[0].headers["ce-kind"] == "Workspace"


def test_a_body_that_is_no_event_counts_as_a_failure(platform: Platform) -> None:
    chatty = platform.receiver("chatty", lambda received, count: ("OK", 200) if count == 0 else ("", 200))
    platform.broker.configure([BROKER], [trigger("chatty", delivery={"retry": 1})])
    platform.post(event())
    assert len(chatty.wait(2)) == 2
    assert platform.broker.drain(5)
    assert platform.seen.deliveries == [("ns/chatty", 1, 502), ("ns/chatty", 2, 200)]


def test_a_timeout_is_a_failed_attempt(platform: Platform) -> None:
    release = threading.Event()

    def first_slow(received: Received, count: int) -> Any:
        if count == 0:
            release.wait(10)
        return "", 202

    platform.receiver("slow", first_slow)
    platform.broker.configure([BROKER], [trigger("slow", delivery={"retry": 1, "timeout": "PT0.2S"})])
    platform.post(event())
    assert platform.broker.drain(5)
    release.set()
    assert platform.seen.deliveries == [("ns/slow", 1, 0), ("ns/slow", 2, 202)]


def test_a_reply_comes_back_as_an_event_and_ends_with_its_ttl(platform: Platform) -> None:
    def answer(received: Received, count: int) -> Any:
        reply = new({"type": "reply", "source": "/answerer", "kind": "Workspace"})
        headers, body = to_binary(reply)
        return body, 200, headers

    echo = platform.receiver("echo", answer)
    platform.broker.configure([BROKER], [trigger("echo", delivery={})])
    platform.post(event(knativebrokerttl="4"))
    assert [one.headers["ce-type"] for one in echo.wait(3)] == ["t", "reply", "reply"]
    assert platform.broker.drain(5)
    assert [one.event.attributes["knativebrokerttl"] for one in platform.seen.events] == ["3", "2", "1"]
    assert all("ce-knativebrokerttl" not in one.headers for one in echo.received)


def test_triggers_change_at_run_time_and_keep_their_queues(platform: Platform) -> None:
    release = threading.Event()

    def held(received: Received, count: int) -> Any:
        release.wait(10)
        return "", 202

    kept, moved, dropped = (platform.receiver(name, held) for name in ("kept", "moved", "dropped"))
    new_home = platform.receiver("new-home")
    platform.broker.configure([BROKER], [trigger("kept"), trigger("moved"), trigger("dropped")])
    for _ in range(8):  # 4 on the wire and 4 queued, for each
        platform.post(event())
    for receiver in (kept, moved, dropped):
        receiver.wait(4)
    elsewhere = trigger("moved", subscriber={"ref": {"kind": "Service", "name": "new-home"}})
    change = threading.Thread(target=platform.broker.configure, args=([BROKER], [trigger("kept"), elsewhere]))
    change.start()
    assert len(new_home.received) == 0
    change.join(10)
    release.set()
    assert len(kept.wait(8)) == 8
    assert len(new_home.wait(4)) == 4
    assert platform.broker.drain(5)
    assert (len(moved.received), len(dropped.received)) == (4, 4)


@pytest.mark.parametrize(
    ("broker", "bad", "field"),
    [
        (BROKER, trigger("bad", filters=[{"cesql": "kind ="}]), "Trigger ns/bad: spec.filters[0].cesql"),
        (BROKER, trigger("bad", delivery={"timeout": "1s"}), "Trigger ns/bad: spec.delivery.timeout"),
        (BROKER, trigger("bad", brokerRef={}), "Trigger ns/bad: spec.brokerRef"),
        (BROKER, trigger("bad", subscriber={}), "Trigger ns/bad: spec.subscriber"),
        (BROKER, {name: part for name, part in trigger("bad").items() if name != "spec"}, "Trigger ns/bad: spec"),
        (
            {"kind": "Broker", "metadata": {"namespace": "ns", "name": "bad"}, "spec": {"delivery": {"retry": -1}}},
            trigger("other"),
            "Broker ns/bad: spec.delivery.retry",
        ),
    ],
)
def test_a_bad_manifest_is_left_out_and_the_others_run(
    platform: Platform, broker: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    good = platform.receiver("good")
    refused = platform.broker.configure([broker, BROKER], [bad, trigger("good")])
    assert {name: error.field for name, error in refused.items()} == {field.partition(":")[0]: field}
    platform.post(event())
    assert len(good.wait(1)) == 1
    assert platform.post(event(), "ns/bad").status_code == 404


def test_stop_delivers_what_it_can_and_leaves_no_thread() -> None:
    with ExitStack() as stack:
        platform = Platform(stack)
        good = platform.receiver("good")
        platform.broker.configure([BROKER], [trigger("good"), trigger("nowhere")])
        for _ in range(20):
            platform.post(event())
        platform.broker.stop(drain=1)
        assert len(good.received) == 20
        names = [thread.name for thread in threading.enumerate()]
        assert [name for name in names if name.startswith(("trigger", "broker"))] == []
