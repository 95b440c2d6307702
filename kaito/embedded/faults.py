"""What can go wrong between a broker and the functions, on purpose: events that are lost, come twice or late, and
functions that are killed while they deal with one. At random from a seed, the same for each function's nth event."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from typing import Final

import httpx

from kaito.embedded.knative.route import RouteError
from kaito.embedded.knative.transport import CLUSTER_LOCAL, Acquire, ServiceTransport
from kaito.runtime.keys import PING

#: The share of events that something happens to.
SHARE: Final = 0.4
#: Seconds that an event is late at most, and after which a function is killed.
_LATE, _SOON = 2.0, 0.05
#: Kills of one function: more would be a crash loop, which is somebody else's subject.
_MOST_CRASHES: Final = 3


class Fault(StrEnum):
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    CRASH = "crash"


class Faults:
    """Of these kinds; ``happened`` counts them. Sweeps are let through: they are what mends the rest."""

    def __init__(self, kinds: Collection[Fault], seed: int) -> None:
        self._kinds, self._seed = sorted(kinds), seed
        self._told: Counter[str] = Counter()
        self._crashes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.happened: Counter[Fault] = Counter()

    def next(self, function: str, event: str) -> tuple[Fault | None, float]:
        """What happens to this event, of that type, for the function; and a number from 0 to 1 that says how much."""
        if event == PING:
            return None, 0.0
        with self._lock:
            self._told[function] += 1
            chance = random.Random(f"{self._seed}/{function}/{self._told[function]}")  # noqa: S311 - to be repeated
            if chance.random() >= SHARE:
                return None, 0.0
            fault = Fault(chance.choice(self._kinds))
            if fault is Fault.CRASH and self._crashes[function] >= _MOST_CRASHES:
                return None, 0.0
            self._crashes[function] += fault is Fault.CRASH
            self.happened[fault] += 1
            return fault, chance.random()


class FaultyTransport(ServiceTransport):
    """The way to the functions, with faults."""

    def __init__(self, acquire: Acquire, faults: Faults) -> None:
        super().__init__(acquire)
        self._there, self._faults = acquire, faults
        self._never = threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        function, _, namespace = request.url.host.removesuffix(CLUSTER_LOCAL).partition(".")
        fault, much = self._faults.next(function, request.headers.get("ce-type", ""))
        if fault is Fault.DROP:
            return httpx.Response(202)
        if fault is Fault.REORDER:
            self._never.wait(much * _LATE)
        if fault is Fault.DUPLICATE:
            again = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            super().handle_request(again).close()
        if fault is Fault.CRASH:
            threading.Timer(much * _SOON, self._kill, (namespace, function)).start()
        return super().handle_request(request)

    def _kill(self, namespace: str, function: str) -> None:
        try:
            with self._there(namespace, function) as backend:
                if backend.process is not None:
                    backend.process.kill()
        except RouteError:
            pass  # it is not there to be killed
