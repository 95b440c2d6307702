"""Writing down what a function does, beside it: nobody who reconciles waits for a record."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import structlog

from kaito.api.redaction import redacted
from kaito.api.resources import Object
from kaito.runtime.keys import Key
from kaito.runtime.plan import Plan, Refused
from kaito.runtime.recording import records
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.records import Records

#: Records that wait to be kept, at most: more are lost, and counted.
_MOST: Final = 20_000
#: Seconds that the first of some records waits for others.
_PAUSE: Final = 0.2
#: Seconds that the last ones may take.
_LAST_SECONDS: Final = 10.0
log = structlog.get_logger()

#: Subject and data of a record, made up beside whoever it is of.
Told = Callable[[], tuple[str, Object]]


class Sink(Protocol):
    """Where records go, in their order."""

    def put(self, lines: Sequence[bytes]) -> bool:
        """Keep these, an event in JSON each; False where what comes next is not beside what came before. Raises OSError
        where it cannot."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: str
    name: str
    when: datetime
    told: Told


class Recorder:
    """Of one process of one function. Thread-safe."""

    def __init__(self, function: str, version: str, installation: Installation, sink: Sink) -> None:
        self._instance, self._ids = secrets.token_hex(4), itertools.count(1)
        self._records, self._sink = Records(f"/kaito/functions/{function}/{self._instance}"), sink
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._lost = 0
        self._closed = threading.Event()
        self._installation: Told = lambda: ("", {"version": version, **installation.to_json()})
        self._forgotten = False
        self._say(records.INSTALLATION, self._installation)
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:
        """It came; returns what it is called here."""
        return self._say(records.DELIVERY, lambda: self._records.delivery(headers, body))

    def answer(self, delivery: str, status: int, reason: str, hints: int, seconds: float) -> None:
        """``hints``: at how many objects of the function it hinted."""
        said = {"status": status, "reason": redacted(reason), "hints": hints, "seconds": round(seconds, 6)}
        self._say(records.ANSWER, lambda: ("", {"delivery": delivery, **said}))

    def decision(
        self, key: Key, because: Sequence[str], observed: object, now: datetime, plan: Plan, refused: Refused | None
    ) -> str:
        """What was decided at ``now`` of what was ``observed``, and of a write that was ``refused`` if so; looked at
        because of these deliveries, or for what these words say. Returns what it is called here."""
        return self._say(records.DECISION, lambda: self._records.decision(key, because, observed, now, plan, refused))

    def write(self, decision: str, effect: int, error: Exception | None, seconds: float) -> None:
        """What became of that effect of the decision's plan, by its place there."""
        data = {"decision": decision, "effect": effect, "seconds": round(seconds, 6)}
        self._say(records.WRITE, lambda: ("", {**data, "error": None if error is None else self._records.error(error)}))

    def close(self) -> None:
        """Keep what waits yet."""
        with self._changed:
            self._closed.set()
            self._changed.notify()
        self._thread.join(_LAST_SECONDS)
        self._sink.close()

    def _say(self, kind: str, told: Told) -> str:
        with self._changed:
            name = self._name()
            if len(self._waiting) < _MOST:
                self._waiting.append(_Waiting(kind, name, datetime.now(UTC), told))
                self._changed.notify()
            else:
                self._lost += 1
        return name

    def _name(self) -> str:
        return f"{self._instance}-{next(self._ids):08d}"

    def _run(self) -> None:
        over = False
        while not over:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed.is_set())
            self._closed.wait(_PAUSE)
            with self._changed:
                batch, self._waiting = self._waiting, []
                if batch and self._forgotten:
                    now = datetime.now(UTC)
                    batch.insert(0, _Waiting(records.INSTALLATION, self._name(), now, self._installation))
                    self._forgotten = False
                if self._lost:
                    told = partial(_lost, self._lost)
                    batch.append(_Waiting(records.LOST, self._name(), datetime.now(UTC), told))
                    self._lost = 0
                over = self._closed.is_set()
            self._put(batch)

    def _put(self, batch: Sequence[_Waiting]) -> None:
        lines = list[bytes]()
        for it in batch:
            try:
                subject, data = it.told()
                lines += self._records.lines(it.kind, it.name, it.when, subject, data)
            except Exception:
                log.exception("not recorded", kind=it.kind)
        try:
            if not lines or self._sink.put(lines):
                return
        except OSError as error:
            log.warning("records lost", records=len(lines), reason=str(error))
            with self._changed:
                self._lost += len(lines)
        self._records.forget()
        self._forgotten = True


def _lost(count: int) -> tuple[str, Object]:
    return "", {"records": count}
