from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from eventing.delivery import (
    BROKER_POLICY,
    SOURCE_POLICY,
    Attempt,
    Delivery,
    Policy,
    Sender,
    Unresolved,
    delivery,
)
from eventing.manifest import ManifestError

CONTENT = ({"ce-id": "1"}, b"body")
SINK = {"ref": {"kind": "Service", "name": "dead"}}


def sender(answer: Callable[[httpx.Request], httpx.Response]) -> Sender:
    return Sender(httpx.Client(transport=httpx.MockTransport(answer)), threading.Event())


def here() -> str:
    return "http://svc/"


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (Policy(3), [0, 0, 0]),
        (Policy(4, "linear", 2.0), [0, 2, 4, 6]),
        (Policy(4, "exponential", 2.0), [2, 4, 8, 16]),
        (SOURCE_POLICY, [0.1, 0.2, 0.4, 0.8, 1.6]),
    ],
)
def test_waits(policy: Policy, waits: list[float]) -> None:
    assert [policy.wait(attempt) for attempt in range(1, policy.retry + 1)] == pytest.approx(waits)


def test_a_brokers_default_waits_add_up_to_what_knative_has() -> None:
    assert sum(BROKER_POLICY.wait(n) for n in range(1, 11)) == pytest.approx(204.6)


@pytest.mark.parametrize(
    ("policy", "retried", "final"),
    [
        (BROKER_POLICY, [0, 404, 408, 409, 429, 500, 502, 503, 599], [200, 202, 301, 400, 403, 413, 425]),
        (SOURCE_POLICY, [0, 404, 413, 425, 429, 502, 503, 504], [200, 202, 301, 400, 409, 500, 501]),
    ],
)
def test_what_is_tried_again(policy: Policy, retried: list[int], final: list[int]) -> None:
    assert [status for status in retried + final if policy.retried(status)] == retried


@pytest.mark.parametrize(
    ("trigger", "broker", "expected"),
    [
        (None, None, Delivery(BROKER_POLICY)),
        ({}, None, Delivery(Policy())),
        (
            {"retry": 3, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S", "timeout": "PT1M"},
            None,
            Delivery(Policy(3, "exponential", 0.2, 60)),
        ),
        ({"retry": 3, "backoffDelay": "PT1S"}, None, Delivery(Policy(3, None, 1))),
        (None, {"retry": 2, "deadLetterSink": SINK}, Delivery(Policy(2), SINK)),
        ({"timeout": "PT5S"}, {"retry": 2, "deadLetterSink": SINK}, Delivery(Policy(timeout=5), SINK)),
        ({"deadLetterSink": {"uri": "/d"}}, {"deadLetterSink": SINK}, Delivery(Policy(), {"uri": "/d"})),
    ],
)
def test_delivery(trigger: dict[str, Any] | None, broker: dict[str, Any] | None, expected: Delivery) -> None:
    assert delivery(trigger, broker) == expected


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"retry": -1}, "spec.delivery.retry"),
        ({"backoffPolicy": "random"}, "spec.delivery.backoffPolicy"),
        ({"timeout": "60s"}, "spec.delivery.timeout"),
        ({"timeout": 60}, "spec.delivery.timeout"),
        ({"retryAfterMax": "PT1S"}, "spec.delivery.retryAfterMax"),
        ({"format": "json"}, "spec.delivery.format"),
    ],
)
def test_a_bad_delivery_is_refused_by_name(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestError) as refused:
        delivery(spec, None)
    assert refused.value.field == field


def test_it_tries_until_delivered_and_tells_of_each_attempt() -> None:
    statuses = iter([503, 404, 202])
    seen: list[Attempt] = []
    last = sender(lambda _: httpx.Response(next(statuses))).send(CONTENT, here, Policy(5), on_attempt=seen.append)
    assert [(attempt.number, attempt.status, attempt.delivered) for attempt in seen] == [
        (1, 503, False),
        (2, 404, False),
        (3, 202, True),
    ]
    assert seen[-1] == last


@pytest.mark.parametrize(("status", "retry", "attempts"), [(400, 5, 1), (500, 2, 3), (302, 5, 1), (503, 0, 1)])
def test_it_gives_up(status: int, retry: int, attempts: int) -> None:
    last = sender(lambda _: httpx.Response(status, content=b"why")).send(CONTENT, here, Policy(retry))
    assert (last.number, last.status, last.delivered, last.body) == (attempts, status, False, b"why")


def test_no_address_and_no_answer_are_attempts_without_a_status() -> None:
    def nowhere() -> str:
        raise Unresolved("Service svc has no address yet")

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    last = sender(lambda _: httpx.Response(200)).send(CONTENT, nowhere, Policy(1))
    assert (last.number, last.status, last.reason) == (2, 0, "Service svc has no address yet")
    last = sender(broken).send(CONTENT, here, Policy(1))
    assert (last.number, last.status, last.reason, last.url) == (2, 0, "refused", "http://svc/")


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (503, "7", 7),
        (429, "0", 0),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (503, "soon", None),
        (503, "-1", None),
        (503, "1.5", None),
        (503, "", None),
        (500, "7", None),
        (404, "7", None),
    ],
)
def test_how_long_a_busy_receiver_asks_to_be_left_alone(status: int, header: str, seconds: float | None) -> None:
    headers = {"Retry-After": header} if header else {}
    last = sender(lambda _: httpx.Response(status, headers=headers)).send(CONTENT, here, Policy())
    assert last.retry_after == seconds


def test_a_busy_receiver_may_say_until_when() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    last = sender(lambda _: httpx.Response(503, headers={"Retry-After": later})).send(CONTENT, here, Policy())
    assert last.retry_after == pytest.approx(100, abs=10)


def test_stopping_ends_the_wait() -> None:
    stopping = threading.Event()
    stopping.set()
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    assert Sender(client, stopping).send(CONTENT, here, Policy(9, "exponential", 3600)).number == 1


CE = {"ce-id": "r", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "reply"),
    [
        ({}, b"", 200, None),
        (CE, b"", 200, "r"),
        (CE, b"data", 200, "r"),
        ({}, b"OK", 502, None),
        ({"content-type": "application/json"}, b'{"ok": true}', 502, None),
        ({"content-type": "application/cloudevents+json"}, b"{}", 502, None),
        ({"ce-specversion": "1.0"}, b"", 502, None),
    ],
)
def test_an_answer_is_empty_or_an_event(headers: dict[str, str], body: bytes, status: int, reply: str | None) -> None:
    last = sender(lambda _: httpx.Response(200, headers=headers, content=body)).send(
        CONTENT, here, Policy(), wants_reply=True
    )
    assert (last.status, last.reply and last.reply.id) == (status, reply)


@pytest.mark.parametrize(
    ("attempt", "code", "said"),
    [
        (Attempt(1, 400, 0, "Bad Request", "http://svc/", b"because"), "400", b"because"),
        (Attempt(1, 0, 0, "refused", "http://svc/"), "500", b"refused"),
    ],
)
def test_failure_extensions(attempt: Attempt, code: str, said: bytes) -> None:
    extensions = attempt.failure()
    assert (extensions["knativeerrordest"], extensions["knativeerrorcode"]) == ("http://svc/", code)
    assert base64.b64decode(extensions["knativeerrordata"]) == said


def test_failure_data_is_cut() -> None:
    assert len(Attempt(1, 500, 0, body=b"x" * 5000).failure()["knativeerrordata"]) == 1024


def test_what_nobody_expected_is_a_failed_attempt() -> None:
    def broken() -> str:
        raise RuntimeError("boom")

    tried: list[Attempt] = []
    last = sender(lambda request: httpx.Response(202)).send(CONTENT, broken, Policy(1), on_attempt=tried.append)
    assert [(one.number, one.status, one.reason) for one in tried] == [(n, 0, "RuntimeError: boom") for n in (1, 2)]
    assert last == tried[-1]
