"""Sending CloudEvents to the Broker, for whoever has subscribed there.

A Broker over a channel in memory answers when all subscribers have, and gives up on those that have not when whoever
sent hangs up. So a request stays open beside the work, and a reconcile waits for its answer for a moment only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
import urllib3

from kaito.api.resources import WORKSPACE, Object
from kaito.api.tracing import ATTRIBUTE, traceparent
from kaito.runtime.crew import Crew
from kaito.runtime.events import Event, from_json, to_binary

#: Knative's name for where a program sends its events.
VARIABLE: Final = "K_SINK"
#: Seconds that an answer is waited for, once: while one is late, others are not waited for at all.
PATIENCE: Final = 1.0
#: Seconds that what is under way may take when the process ends.
_LAST_SECONDS: Final = 10.0
_AT_ONCE: Final = 16
#: As Knative's own sources: seconds before each of 5 retries, and what is tried again. Not a 500, which is what a
#: Broker says when a subscriber failed.
_WAITS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
_PASSING: Final = frozenset((404, 413, 425, 429, 502, 503, 504))
#: A subscriber may be at zero, and a Trigger retries for minutes.
_TIMEOUT: Final = urllib3.Timeout(connect=1, read=300)

log = structlog.get_logger()


class Unsent(Exception):
    """The Broker has not taken an event; the text is what it said. ``passes``: it may take it the next time."""

    def __init__(self, said: str, *, passes: bool = False) -> None:
        super().__init__(said)
        self.passes = passes


#: Told what came of an event: None where it was taken.
Ended = Callable[[Unsent | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Sending:
    event: Object
    ended: Ended
    over: threading.Event = field(default_factory=threading.Event)


class Announcer:
    """Posts events to one address, in binary mode. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=_AT_ONCE, retries=False, timeout=_TIMEOUT)
        self._crew = Crew(_AT_ONCE, "announce")
        self._lock = threading.Lock()
        self._under_way: set[_Sending] = set()
        self._late: set[_Sending] = set()
        self._closing = threading.Event()

    def send(self, event: Object, ended: Ended) -> None:
        """Send it, and wait for a moment. ``ended`` is told once what came of it: by then, or later."""
        sending = _Sending(event, ended)
        with self._lock:
            self._under_way.add(sending)
            waits = not self._late
        self._crew.submit(partial(self._send, sending))
        if waits and not sending.over.wait(PATIENCE):
            with self._lock:
                self._late |= {sending} & self._under_way

    def close(self) -> None:
        """Nothing more comes; what is under way has a moment yet, and is not tried again."""
        self._closing.set()
        deadline = time.monotonic() + _LAST_SECONDS
        with self._lock:
            left = tuple(self._under_way)
        for sending in left:
            sending.over.wait(max(0, deadline - time.monotonic()))
            self._end(sending, Unsent("the process ended before the Broker answered"))

    def _send(self, sending: _Sending) -> None:
        headers, body = to_binary(_traced(sending.event))
        failure = self._post(headers, body)
        for wait in _WAITS:
            if failure is None or not failure.passes or self._closing.wait(wait):
                break
            failure = self._post(headers, body)
        self._end(sending, failure)

    def _post(self, headers: Mapping[str, str], body: bytes) -> Unsent | None:
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            return Unsent(str(error))
        except urllib3.exceptions.HTTPError as error:
            return Unsent(str(error), passes=True)
        if answer.status < 300:
            return None
        said = f"{self._url} answers {answer.status} {answer.data[:200].decode(errors='replace')}"
        return Unsent(said.rstrip(), passes=answer.status in _PASSING)

    def _end(self, sending: _Sending, failure: Unsent | None) -> None:
        with self._lock:
            if sending not in self._under_way:  # given up by now
                return
            self._under_way.discard(sending)
            self._late.discard(sending)
        if failure is not None:
            which = {name: sending.event[name] for name in ("type", "subject", "id")}
            log.warning("event lost", **which, reason=str(failure))
        sending.ended(failure)
        sending.over.set()


def _traced(event: Object) -> Event:
    """One about a Workspace is in its trace. Said here and not in the plan: what is decided is the same."""
    is_workspaces = str(event.get("subject", "")).startswith(f"{WORKSPACE.kind}/")
    return from_json({**event, ATTRIBUTE: traceparent(event["data"]["uid"])} if is_workspaces else event)


def announcer(environment: Mapping[str, str]) -> Announcer | None:
    """What sends to the Broker that ``K_SINK`` names; None where it names none. Raises ValueError."""
    given = environment.get(VARIABLE, "")
    if not given:
        return None
    url = urlsplit(given)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise ValueError(
            f"{VARIABLE} is {given!r}; it must be a Broker's address, http://HOST/NAMESPACE/NAME, or empty"
        )
    return Announcer(given)
