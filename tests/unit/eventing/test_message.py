from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventing.message import Message, accept, to_dead_letter, to_subscriber
from kaito.runtime.events import BadEvent, Event

NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)
ENVELOPE = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0"}


@pytest.mark.parametrize(
    ("given", "left"),
    [(None, "255"), ("255", "254"), ("2", "1"), ("many", "255"), ("", "255")],
)
def test_each_entry_costs_one_of_the_ttl(given: str | None, left: str) -> None:
    message = accept(Event(ENVELOPE).with_attributes(knativebrokerttl=given), {}, NOW)
    assert message.event.attributes["knativebrokerttl"] == left
    assert message.event.attributes["knativearrivaltime"] == "2026-11-23T12:00:00.000005Z"


@pytest.mark.parametrize("ttl", ["1", "0", "-4"])
def test_a_used_up_ttl_is_refused(ttl: str) -> None:
    with pytest.raises(BadEvent, match="used up"):
        accept(Event({**ENVELOPE, "knativebrokerttl": ttl}), {}, NOW)


def test_only_some_headers_travel_on() -> None:
    headers = {"X-Request-Id": "r", "Knative-Foo": "k", "X-B3-TraceId": "b", "Authorization": "secret", "Prefer": "x"}
    headers["Knative-Odd"] = "é"
    assert accept(Event(ENVELOPE), headers, NOW).headers == {
        "x-request-id": "r",
        "knative-foo": "k",
        "x-b3-traceid": "b",
    }


def test_a_subscriber_gets_no_ttl_and_a_dead_letter_sink_does() -> None:
    message = Message(Event({**ENVELOPE, "knativebrokerttl": "7"}, b"x"), {"x-request-id": "r"})
    headers, body = to_subscriber(message, "ns")
    assert (headers["prefer"], headers["kn-namespace"], headers["x-request-id"], body) == ("reply", "ns", "r", b"x")
    assert "ce-knativebrokerttl" not in headers
    headers, body = to_dead_letter(message, "ns", {"knativeerrorcode": "500"})
    assert (headers["ce-knativebrokerttl"], headers["ce-knativeerrorcode"], body) == ("7", "500", b"x")
    assert "prefer" not in headers
