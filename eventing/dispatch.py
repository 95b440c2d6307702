"""One Trigger at work: its queue and its workers, so that a slow subscriber holds up nobody else's events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx
import structlog

from eventing.delivery import Attempt, Delivery, Resolve, Sender
from eventing.filters import Predicate
from eventing.message import Message, to_dead_letter, to_subscriber
from kaito.runtime.events import BadEvent, Event

_log: Final = structlog.get_logger()


class UnknownBroker(Exception):
    """No Broker manifest of that namespace and name is configured."""


class Observer(Protocol):
    """Sees what passes through a broker. Called from many threads; must be quick and must not raise."""

    def on_event(self, message: Message) -> None:
        """An event was accepted."""

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None:
        """One attempt to deliver it for ``trigger`` (namespace/name) has ended, well or badly."""


class NoObserver:
    """Looks away."""

    def on_event(self, message: Message) -> None: ...

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None: ...


@dataclass(frozen=True, slots=True)
class Route:
    """What a Trigger says: which events of which broker (namespace, name) go where, and how."""

    namespace: str
    name: str
    broker: tuple[str, str]
    wants: Predicate
    subscriber: Mapping[str, Any]
    delivery: Delivery

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


class Dispatcher:
    """Queues a Trigger's messages and delivers them, up to ``workers`` at a time and in no promised order.

    ``reenter`` takes a subscriber's reply back into the broker; raises BadEvent or UnknownBroker.
    """

    def __init__(
        self,
        route: Route,
        client: httpx.Client,
        resolve: Resolve,
        reenter: Callable[[Message, Event], None],
        observer: Observer,
        *,
        workers: int,
    ) -> None:
        self.route = route
        self._resolve, self._reenter, self._observer = resolve, reenter, observer
        self._queue: queue.Queue[Message | None] = queue.Queue()
        self._stopping = threading.Event()
        self._sender = Sender(client, self._stopping)
        self._most, self._lock = workers, threading.Lock()
        self._workers: list[threading.Thread] = []

    def put(self, message: Message) -> None:
        """Take the message if the Trigger wants it."""
        if self.route.wants(message.event.attributes):
            self._queue.put(message)
            self._staff()

    def _staff(self) -> None:
        """One worker more where all are busy: a subscriber may let many wait, to deal with them together."""
        with self._lock:
            if self._queue.unfinished_tasks > len(self._workers) < self._most and not self._stopping.is_set():
                name = f"trigger {self.route.key} {len(self._workers)}"
                worker = threading.Thread(target=self._work, name=name, daemon=True)
                self._workers.append(worker)
                worker.start()

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is queued or under way; False if that takes longer than ``timeout`` seconds."""
        done = self._queue.all_tasks_done
        with done:
            return done.wait_for(lambda: self._queue.unfinished_tasks == 0, timeout)

    def stop(self, grace: float = 1.0) -> None:
        """End the workers; what is queued is dropped, what is on the wire gets ``grace`` seconds."""
        self._stopping.set()
        with self._lock:
            workers = tuple(self._workers)
        for _ in workers:
            self._queue.put(None)
        for worker in workers:
            worker.join(grace / len(workers))

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                if self._stopping.is_set():
                    _log.warning("event dropped at stop", trigger=self.route.key, id=message.event.id)
                else:
                    self._deliver(self.route, message)
            except Exception:  # noqa: BLE001 - the boundary: no event may end the worker of those behind it
                _log.exception("event dropped: it could not be handled", trigger=self.route.key, id=message.event.id)
            finally:
                self._queue.task_done()

    def _deliver(self, route: Route, message: Message) -> None:
        attempt = self._sender.send(
            to_subscriber(message, route.namespace),
            lambda: self._resolve(route.subscriber, route.namespace),
            route.delivery.policy,
            wants_reply=True,
            on_attempt=lambda attempt: self._observer.on_delivery(route.key, message.event, attempt),
        )
        log = _log.bind(trigger=route.key, id=message.event.id, status=attempt.status, reason=attempt.reason)
        if attempt.delivered:
            if attempt.reply is None:
                return
            try:
                self._reenter(message, attempt.reply)
            except (BadEvent, UnknownBroker) as error:
                log = log.bind(reason=f"reply refused: {error}")
            else:
                return
        if self._stopping.is_set():
            log.warning("event dropped at stop")
        elif route.delivery.dead_letter is None:
            log.warning("event dropped: no attempt left and no deadLetterSink")
        else:
            self._bury(route, message, attempt, log)

    def _bury(self, route: Route, message: Message, failed: Attempt, log: Any) -> None:
        destination = route.delivery.dead_letter or {}
        last = self._sender.send(
            to_dead_letter(message, route.namespace, failed.failure()),
            lambda: self._resolve(destination, route.namespace),
            route.delivery.policy,
        )
        if last.delivered:
            log.info("event sent to its dead letter sink", sink=last.url)
        else:
            log.warning("event dropped: the deadLetterSink failed too", sink_status=last.status, sink=last.reason)
