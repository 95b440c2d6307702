"""An event on its way through the broker: what is added on arrival and taken away before delivery.

Every re-entry of a reply costs one of ``knativebrokerttl``, so that two functions answering each other come
to an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kaito.runtime.events import BadEvent, Event, to_binary

TTL: Final = "knativebrokerttl"
ARRIVAL: Final = "knativearrivaltime"
_FIRST_TTL: Final = 255
_PASSED_ON: Final = ("x-request-id", "retry-after")
_PASSED_ON_PREFIXES: Final = ("knative-", "x-b3-")


@dataclass(frozen=True, slots=True)
class Message:
    """An accepted event with the request headers that travel on with it."""

    event: Event
    headers: Mapping[str, str]


def accept(event: Event, headers: Mapping[str, str], now: datetime) -> Message:
    """Let an event into the broker; raises BadEvent for one that has been round too often.

    Headers that are not ASCII, which no client has to send on, stay behind.
    """
    ttl = _next_ttl(event.attributes.get(TTL))
    if ttl <= 0:
        raise BadEvent(f"{TTL} is used up: do functions answer each other's answers?")
    passed_on = {
        name.lower(): value
        for name, value in headers.items()
        if (name.lower() in _PASSED_ON or name.lower().startswith(_PASSED_ON_PREFIXES)) and value.isascii()
    }
    stamped = event.with_attributes(**{TTL: str(ttl), ARRIVAL: now.isoformat().replace("+00:00", "Z")})
    return Message(stamped, passed_on)


def to_subscriber(message: Message, namespace: str) -> tuple[dict[str, str], bytes]:
    """Headers and body for a Trigger's subscriber; ``namespace`` is the Trigger's."""
    headers, body = to_binary(message.event.with_attributes(**{TTL: None}))
    return {**headers, **message.headers, "kn-namespace": namespace, "prefer": "reply"}, body


def to_dead_letter(message: Message, namespace: str, failure: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Headers and body for a dead letter sink; the TTL stays, for the sink may be a broker."""
    headers, body = to_binary(message.event.with_attributes(**failure))
    return {**headers, **message.headers, "kn-namespace": namespace}, body


def _next_ttl(text: str | None) -> int:
    if text is None or not text.isascii() or not text.removeprefix("-").isdigit():
        return _FIRST_TTL
    return int(text) - 1
