"""Events sent again: to a function, or to a broker. They are hints, so nothing comes of an old one but a look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from kaito.runtime.events import Event, to_binary

#: The extension attribute that an event has which is sent again: whoever follows events may leave it out.
MARK: Final = "kaitoreplay"
_TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """``status`` is None where nobody answered; ``said`` is why not, or what was answered beside the status."""

    event: Event
    status: int | None
    said: str
    seconds: float

    @property
    def taken(self) -> bool:
        return self.status is not None and self.status < 300


def send(
    events: Iterable[Event], url: str, *, pace: float = 0, wait: Callable[[float], object] | None = None
) -> Iterator[Sent]:
    """Each in its turn, when the one before is answered; and, with a ``pace``, so many seconds apart as there were
    between their times, divided by it."""
    wait = wait or threading.Event().wait
    before: datetime | None = None
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        for event in events:
            when = _time(event)
            if pace and when and before and when > before:
                wait((when - before).total_seconds() / pace)
            before = when or before
            yield _sent(client, url, event)


def _sent(client: httpx.Client, url: str, event: Event) -> Sent:
    headers, body = to_binary(event.with_attributes(**{MARK: "true"}))
    began = time.monotonic()
    try:
        answer = client.post(url, headers=headers, content=body)
    except httpx.HTTPError as error:
        return Sent(event, None, str(error) or type(error).__name__, time.monotonic() - began)
    return Sent(event, answer.status_code, answer.text.strip()[:200], time.monotonic() - began)


def _time(event: Event) -> datetime | None:
    given = event.attributes.get("time")
    try:
        return datetime.fromisoformat(given) if given else None
    except ValueError:
        return None
