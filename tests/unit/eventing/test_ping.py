from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from eventing.manifest import ManifestError
from eventing.ping import PingSources, check, due
from tests.receiver import Receiver

START = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)


def ping(name: str = "sweep", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "PingSource",
        "metadata": {"namespace": "kaito-system", "name": name},
        "spec": {"schedule": "*/30 * * * * *", "sink": {"ref": {"kind": "Broker", "name": "default"}}, **spec},
    }


class FastClock:
    """Time passes only by waiting, at once, until ``ticks`` waits are over; then it stands still."""

    def __init__(self, ticks: int) -> None:
        self._now, self._ticks = START, ticks

    def now(self) -> datetime:
        return self._now

    def wait(self, seconds: float, stopping: threading.Event) -> bool:
        if self._ticks == 0:
            return stopping.wait()
        self._ticks -= 1
        self._now += timedelta(seconds=seconds)
        return stopping.is_set()


@pytest.mark.parametrize(
    ("schedule", "zone", "times"),
    [
        ("* * * * *", "UTC", ["12:01:00", "12:02:00", "12:03:00"]),
        ("*/10 * * * *", "UTC", ["12:10:00", "12:20:00", "12:30:00"]),
        ("*/30 * * * * *", "UTC", ["12:00:30", "12:01:00", "12:01:30"]),
        ("15 2 * * * *", "UTC", ["12:02:15", "13:02:15", "14:02:15"]),
        ("@hourly", "UTC", ["13:00:00", "14:00:00", "15:00:00"]),
        ("30 14 * * *", "Europe/Berlin", ["13:30:00", "13:30:00", "13:30:00"]),
    ],
)
def test_due(schedule: str, zone: str, times: list[str]) -> None:
    found = itertools.islice(due(schedule, ZoneInfo(zone), START), 3)
    assert [time.astimezone(UTC).strftime("%H:%M:%S") for time in found] == times


@pytest.mark.parametrize(
    "schedule",
    ["@every 30s", "", "* * * *", "* * * * * * *", "60 * * * *", "* * L * *", "@reboot", "x * * * *", "0 0 30 2 *"],
)
def test_a_bad_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(ManifestError) as refused:
        check(schedule, "spec.schedule")
    assert refused.value.field == "spec.schedule"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"schedule": "@every 5s"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "Europe"}, "timezone"),
        ({"contentType": "text/é"}, "contentType"),
        ({"contentType": "application/json", "data": "{"}, "data"),
        ({"contentType": "application/json", "data": "[]"}, "data"),
        ({"ceOverrides": {}}, "ceOverrides"),
        ({"dataBase64": "AA=="}, "dataBase64"),
        ({"sink": {}}, "sink"),
    ],
)
def test_a_bad_manifest_is_refused_by_name_and_the_others_run(spec: dict[str, Any], field: str) -> None:
    with Receiver() as receiver:
        sources = PingSources(lambda destination, namespace: receiver.url, FastClock(ticks=1))
        refused = sources.set_sources([ping("bad", **spec), ping("good")])
        received = receiver.wait(1)
        sources.stop()
    assert [error.field for error in refused.values()] == [f"PingSource kaito-system/bad: spec.{field}"]
    assert received[0].headers["ce-source"].endswith("/good")


def test_events() -> None:
    with Receiver() as receiver:
        sources = PingSources(lambda destination, namespace: receiver.url, FastClock(ticks=3))
        sources.set_sources([ping(contentType="application/json", data='{ "slow": true }')])
        received = receiver.wait(3)
        sources.stop()
    assert len(received) == 3
    headers = received[0].headers
    assert {
        name: headers[name] for name in ("ce-type", "ce-source", "ce-specversion", "content-type", "kn-namespace")
    } == {
        "ce-type": "dev.knative.sources.ping",
        "ce-source": "/apis/v1/namespaces/kaito-system/pingsources/sweep",
        "ce-specversion": "1.0",
        "content-type": "application/json",
        "kn-namespace": "kaito-system",
    }
    assert received[0].body == b'{"slow":true}'
    assert len({one.headers["ce-id"] for one in received}) == 3


def test_sources_come_and_go_at_run_time() -> None:
    with Receiver() as receiver:
        sources = PingSources(lambda destination, namespace: receiver.url)
        sources.set_sources([ping("never", schedule="0 0 29 2 *")])
        sources.set_sources([ping("often", schedule="* * * * * *")])
        received = receiver.wait(1)
        sources.set_sources([])
        running = [thread.name for thread in threading.enumerate() if thread.name.startswith("ping ")]
        sources.stop()
    assert received[0].headers["ce-source"].endswith("/often")
    assert "content-type" not in received[0].headers
    assert running == []
