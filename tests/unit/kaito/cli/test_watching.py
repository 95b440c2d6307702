"""The live picture: what it says of events and Workspaces."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from eventing.delivery import Attempt
from eventing.message import Message
from kaito.cli.watching import KEPT_EVENTS, EventLog, age, screen
from kaito.runtime.events import Event

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def event(number: int) -> Event:
    attributes = {"id": str(number), "source": "s", "type": "dev.knative.apiserver.resource.add"}
    return Event({**attributes, "kind": "Workspace", "namespace": "default", "name": f"w{number}"})


def shown(log: EventLog, workspaces: list[dict[str, object]]) -> str:
    console = Console(width=120, height=30, record=True, file=io.StringIO())
    console.print(screen(console, workspaces, log, "footer"))
    return console.export_text()


def test_an_event_and_how_it_was_answered() -> None:
    log = EventLog()
    log.on_event(Message(event(1), {}))
    log.on_delivery("kaito-system/kaito-workspace", event(1), Attempt(2, 202, 0.0123, "", "http://x"))
    text = shown(log, [])
    assert "Workspace default/w1 add" in text
    assert "kaito-workspace 202 in 12 ms, attempt 2" in text
    assert "No Workspaces yet" in text


def test_only_the_latest_are_kept_and_late_answers_to_forgotten_ones_are_ignored() -> None:
    log = EventLog()
    for number in range(KEPT_EVENTS + 5):
        log.on_event(Message(event(number), {}))
    log.on_delivery("t", event(0), Attempt(1, 202, 0.1, "", "http://x"))
    last = log.last(KEPT_EVENTS * 2)
    assert len(last) == KEPT_EVENTS
    assert last[-1].what.startswith(f"Workspace default/w{KEPT_EVENTS + 4}")


def test_a_workspace_with_what_it_waits_for() -> None:
    workspace = {
        "metadata": {"namespace": "default", "name": "phi", "creationTimestamp": "2026-11-23T11:59:00Z"},
        "resource": {"instanceType": "Standard_NC6s_v3"},
        "status": {"conditions": [{"type": "WorkspaceReady", "status": "Unknown", "message": "0 of 1 nodes ready"}]},
    }
    text = shown(EventLog(), [workspace])
    assert "Standard_NC6s_v3" in text
    assert "0 of 1 nodes ready" in text


@pytest.mark.parametrize(("seconds", "expected"), [(-1, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (172800, "2d")])
def test_age(seconds: int, expected: str) -> None:
    assert age((NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == expected
