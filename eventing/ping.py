"""PingSources, run in this process: one event each time a cron schedule comes round.

Schedules are Knative's: five fields, or six with the seconds first. Its random delay of up to half a second
is left out.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from croniter import CroniterError, croniter  # type: ignore[import-untyped]
from pydantic import Field

from eventing import delivery
from eventing.delivery import SOURCE_POLICY, Mounts, Resolve, Sender
from eventing.manifest import ManifestError, Refused, Spec, label, read, sift
from kaito.runtime import events
from kaito.runtime.events import Event

_log: Final = structlog.get_logger()
#: What Knative's parser reads in a field; croniter knows more (L, #, H, R).
_FIELD: Final = re.compile(r"[\d*/,?-]|MON|TUE|WED|THU|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")
_ALIASES: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
#: Seconds after which a waiting source looks at the clock again: it may have been set, or the machine asleep.
_LOOK: Final = 60.0


class Clock(Protocol):
    """The time, and waiting for it."""

    def now(self) -> datetime: ...

    def wait(self, seconds: float, stopping: threading.Event) -> bool:
        """Wait; True as soon as ``stopping`` is set."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float, stopping: threading.Event) -> bool:
        return stopping.wait(seconds)


class PingSourceSpec(Spec):
    schedule: str = "* * * * *"
    timezone: str | None = None
    content_type: str | None = Field(default=None, pattern=events.CONTENT_TYPE.pattern)
    data: str | None = None
    sink: dict[str, Any] = Field(min_length=1)


class PingSources:
    """Runs PingSource manifests, a thread each."""

    def __init__(self, resolve: Resolve, clock: Clock | None = None, mounts: Mounts | None = None) -> None:
        self._resolve, self._clock = resolve, clock or SystemClock()
        self._client = delivery.client(mounts)
        self._running: dict[tuple[str, str], _Pinger] = {}

    def set_sources(self, manifests: Sequence[Mapping[str, Any]]) -> Refused:
        """Run exactly these from now on, but for the bad ones: those are returned."""
        pingers, refused = sift(manifests, self._pinger)
        wanted = {ping.key: ping for ping in pingers}
        kept = {key for key, ping in wanted.items() if key in self._running and self._running[key].spec == ping.spec}
        for key in self._running.keys() - kept:
            self._running.pop(key).stop()
        for key in wanted.keys() - kept:
            self._running[key] = wanted[key]
            wanted[key].start()
        return refused

    def stop(self) -> None:
        self.set_sources([])
        self._client.close()

    def _pinger(self, manifest: Mapping[str, Any]) -> _Pinger:
        return _Pinger(manifest, self._client, self._resolve, self._clock)


def due(schedule: str, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """The times a schedule comes round, in UTC, from the first one later than ``after``."""
    times = croniter(schedule, after.astimezone(zone), ret_type=datetime, second_at_beginning=True)
    for time in times:
        yield time.astimezone(UTC)


def check(schedule: str, field: str) -> str:
    """The schedule, if Knative would take it too; raises ManifestError."""
    if schedule.startswith("@every"):
        raise ManifestError(field, "@every is not supported by PingSource: write a cron schedule")
    if schedule in _ALIASES:
        return schedule
    fields = schedule.upper().split()
    if len(fields) not in (5, 6) or not all(_FIELD.sub("", part) == "" for part in fields):
        raise ManifestError(field, f"{schedule!r} is no cron schedule of five fields, or six with the seconds first")
    try:
        croniter(schedule, datetime.now(UTC), second_at_beginning=True).get_next()
    except CroniterError as error:
        raise ManifestError(field, f"{schedule!r} never comes round: {error}") from error
    return schedule


class _Pinger(threading.Thread):
    def __init__(self, manifest: Mapping[str, Any], client: Any, resolve: Resolve, clock: Clock) -> None:
        field = f"{label(manifest)}: spec"
        if "spec" not in manifest:
            raise ManifestError(field, "is missing")
        self.spec = read(PingSourceSpec, manifest["spec"], field)
        namespace, name = manifest["metadata"].get("namespace", "default"), manifest["metadata"]["name"]
        super().__init__(name=f"ping {namespace}/{name}", daemon=True)
        self.key = namespace, name
        self._schedule = check(self.spec.schedule, f"{field}.schedule")
        self._zone = _zone(self.spec.timezone, f"{field}.timezone")
        self._body = _body(self.spec, f"{field}.data")
        self._resolve, self._clock = resolve, clock
        self._stopping = threading.Event()
        self._sender = Sender(client, self._stopping)

    def stop(self) -> None:
        self._stopping.set()
        self.join(5)

    def run(self) -> None:
        while True:
            # From now on, not from the last time: what passed while the machine slept is not made up for.
            time = next(due(self._schedule, self._zone, self._clock.now()))
            while (seconds := (time - self._clock.now()).total_seconds()) > 0:
                if self._clock.wait(min(seconds, _LOOK), self._stopping):
                    return
            if self._stopping.is_set():
                return
            self._send()

    def _send(self) -> None:
        namespace, name = self.key
        headers, body = events.to_binary(self._event())
        attempt = self._sender.send(
            ({**headers, "kn-namespace": namespace}, body),
            lambda: self._resolve(self.spec.sink, namespace),
            SOURCE_POLICY,
        )
        if not attempt.delivered and not self._stopping.is_set():
            _log.warning("ping dropped", source=name, status=attempt.status, reason=attempt.reason)

    def _event(self) -> Event:
        namespace, name = self.key
        attributes = {
            "type": "dev.knative.sources.ping",
            "source": f"/apis/v1/namespaces/{namespace}/pingsources/{name}",
        }
        if self._body and self.spec.content_type:
            attributes["datacontenttype"] = self.spec.content_type
        return events.new(attributes, self._body)


def _zone(name: str | None, field: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder of zones, such as Europe
        raise ManifestError(field, f"{name!r} is no time zone of the IANA database, such as Europe/Berlin") from error


def _body(spec: PingSourceSpec, field: str) -> bytes:
    """The data; JSON has to be an object and is sent compact, as Knative does."""
    if not spec.data or spec.content_type != "application/json":
        return (spec.data or "").encode()
    try:
        data = json.loads(spec.data)
    except ValueError as error:
        raise ManifestError(field, f"is not the JSON that contentType says: {error}") from error
    if not isinstance(data, dict):
        raise ManifestError(field, "must be a JSON object")
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
