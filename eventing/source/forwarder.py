"""The spool's other end: its changes are sent to the sink, some at a time, an object's in their order, until it has
taken them.

Only a 2xx takes a change out. A sink that is away or busy is left alone for growing pauses, or for as long as it asks,
and then tried with one change. What it refuses otherwise it may refuse for that one object: its change waits, longer
each time, and those of others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import httpx
import structlog

from eventing.delivery import Attempt, Policy, Sender
from eventing.source.event import describe, message
from eventing.source.metrics import FAILED, SENT
from eventing.source.sink import Sink
from eventing.source.spec import Mode
from eventing.source.spool import Place, Spool, Waiting

_log: Final = structlog.get_logger()
#: Changes under way at the same time.
SENDERS: Final = 8
#: One attempt: a Broker on channels answers only when all its Triggers are done, with their retries, after 205 s.
_ATTEMPT: Final = Policy(backoff="exponential", delay=0.1, timeout=httpx.Timeout(300, connect=5))
#: Seconds, the longest between two attempts, and the longest that a sink may ask for.
_LONGEST, _LONGEST_ASKED = 30.0, 300.0
#: Answers that say nothing of the change: nobody there, no time, too many.
_AWAY: Final = frozenset((0, 404, 408, 425, 429, 502, 503, 504))


class Pace:
    """When the sink may be tried: at any time while it answers; after it was away, when the pause is over, by one."""

    def __init__(self) -> None:
        self._failures, self._until = 0, 0.0

    def pause(self, now: float, under_way: int) -> float | None:
        """Seconds to wait, 0 for none; None: until what is under way has ended."""
        if self._failures and under_way:
            return None
        return max(0.0, self._until - now)

    def answered(self) -> bool:
        """Was it away before?"""
        was_away, self._failures, self._until = self._failures > 0, 0, 0.0
        return was_away

    def away(self, now: float, asked: float | None) -> bool:
        """``asked``: seconds, by the sink itself. Was it there before?"""
        first = not self._failures
        if now >= self._until:  # Those that were under way together fail together.
            self._failures += 1
        self._until = max(self._until, now + max(backoff(self._failures), min(asked or 0.0, _LONGEST_ASKED)))
        return first


class Forwarder:
    """``work`` is for threads, up to SENDERS of them."""

    def __init__(
        self,
        spool: Spool,
        sink: Sink,
        mode: Mode,
        namespace: str,
        server: str,
        client: httpx.Client,
        stopping: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self._spool, self._sink, self._clock, self._stopping = spool, sink, clock, stopping
        self._mode, self._namespace, self._server = mode, namespace, server
        self._sender = Sender(client, stopping)
        self._changed = threading.Condition()
        self._under_way: set[Place] = set()
        self._pace = Pace()

    def wake(self) -> None:
        """There may be something to send, or it is time to stop."""
        with self._changed:
            self._changed.notify_all()

    def work(self) -> None:
        while (waiting := self._take()) is not None:
            try:
                self._send(waiting)
            finally:
                with self._changed:
                    self._under_way.discard(waiting.place)
                    self._changed.notify_all()

    def _take(self) -> Waiting | None:
        """Wait for a change that may be sent now; None at the end."""
        with self._changed:
            while not self._stopping.is_set():
                pause = self._pace.pause(self._clock(), len(self._under_way))
                if pause == 0 and (waiting := self._spool.next(self._under_way)):
                    self._under_way.add(waiting.place)
                    return waiting
                self._changed.wait(pause or self._until_due())
        return None

    def _until_due(self) -> float | None:
        due = self._spool.due()
        return None if due is None else max(0.0, due - self._clock())

    def _send(self, waiting: Waiting) -> None:
        event = describe(waiting.change, self._mode, self._server, id=waiting.id, time=waiting.time)
        attempt = self._sender.send(message(event, self._namespace), self._sink.find, _ATTEMPT)
        if attempt.delivered:
            self._spool.sent(waiting)
            SENT.labels(event.attributes["kind"], waiting.change.verb).inc()
        elif self._stopping.is_set():
            return
        else:
            self._spool.failed(waiting, self._clock() + backoff(waiting.attempts + 1))
            FAILED.labels(attempt.status).inc()
        self._learn(attempt)
        if not attempt.delivered and attempt.status not in _AWAY and not waiting.attempts:
            said = {"status": attempt.status, "reason": attempt.reason}
            _log.warning("the sink does not take a change: it waits", subject=event.subject, **said)

    def _learn(self, attempt: Attempt) -> None:
        """How the sink is."""
        is_away = attempt.status in _AWAY
        if is_away:
            self._sink.forget()
        with self._changed:
            is_news = self._pace.away(self._clock(), attempt.retry_after) if is_away else self._pace.answered()
        if is_news:
            said = {"url": attempt.url, "status": attempt.status, "reason": attempt.reason}
            what = "the sink is away: changes wait" if is_away else "the sink answers again"
            _log.warning(what, waiting=self._spool.waiting(), **said)


def backoff(failures: int) -> float:
    """Seconds after so many failures, doubled from 0.1 on."""
    return min(_ATTEMPT.wait(min(failures, 16)), _LONGEST)
