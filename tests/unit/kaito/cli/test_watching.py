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
    console.print(screen(console, workspaces, log, "apply something", "footer"))
    return console.export_text()


def test_an_event_and_how_it_was_answered() -> None:
    log = EventLog()
    log.on_event(Message(event(1), {}))
    log.on_delivery("kaito-system/kaito-workspace", event(1), Attempt(2, 202, 0.0123, "", "http://x"))
    text = shown(log, [])
    assert "Workspace default/w1 add" in text
    assert "kaito-workspace 202 in 12 ms, attempt 2" in text
    assert "apply something" in text


def test_what_is_announced_says_of_what_and_a_ping_is_a_sweep() -> None:
    log = EventLog()
    for attributes in (
        {"id": "1", "source": "/s", "type": "sh.kaito.workspace.not-ready", "subject": "Workspace/default/w1"},
        {"id": "2", "source": "/s", "type": "dev.knative.sources.ping"},
    ):
        log.on_event(Message(Event(attributes), {}))
    assert [seen.what for seen in log.last(2)] == ["Workspace default/w1 not-ready", "sweep ping"]


def test_only_the_latest_are_kept_and_late_answers_to_forgotten_ones_are_ignored() -> None:
    log = EventLog()
    for number in range(KEPT_EVENTS + 5):
        log.on_event(Message(event(number), {}))
    log.on_delivery("t", event(0), Attempt(1, 202, 0.1, "", "http://x"))
    last = log.last(KEPT_EVENTS * 2)
    assert len(last) == KEPT_EVENTS
    assert last[-1].what.startswith(f"Workspace default/w{KEPT_EVENTS + 4}")


def test_an_id_that_came_twice_is_two_lines_and_forgotten_once() -> None:
    log = EventLog()
    for number in (0, *range(KEPT_EVENTS - 2), 0):
        log.on_event(Message(event(number), {}))
    log.on_event(Message(event(KEPT_EVENTS), {}))
    log.on_delivery("t", event(0), Attempt(1, 202, 0.1, "", "http://x"))
    last = log.last(KEPT_EVENTS)
    assert len(last) == KEPT_EVENTS
    assert [bool(seen.outcomes) for seen in last if seen.id == "0"] == [False, True]


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    log = EventLog()
    odd = event(1).with_attributes(name="[/x]")
    log.on_event(Message(odd, {}))
    log.on_delivery("ns/[bold]", odd, Attempt(1, 0, 0.1, "[/refused]", "http://x"))
    workspace = {
        "metadata": {"namespace": "[/n]", "name": "[/w]", "creationTimestamp": "2026-11-23T11:59:00Z"},
        "resource": {"instanceType": "[/i]"},
        "status": {"conditions": [{"type": "WorkspaceReady", "status": "False", "message": "[/m]"}]},
    }
    text = shown(log, [workspace])
    for word in ("[/x]", "[bold] [/refused]", "[/n]", "[/w]", "[/i]", "[/m]"):
        assert word in text


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


@pytest.mark.parametrize("width", [80, 130])
def test_a_small_terminal_keeps_what_matters(width: int) -> None:
    many = [
        {
            "metadata": {"namespace": "default", "name": f"workspace-{n}", "creationTimestamp": "2026-11-23T11:59:00Z"},
            "resource": {"instanceType": "Standard_NC24ads_A100_v4"},
            "status": {"conditions": [{"type": "WorkspaceReady", "status": "Unknown", "message": "word " * 90}]},
        }
        for n in range(14)
    ]
    console = Console(width=width, height=24, record=True, file=io.StringIO())
    console.print(screen(console, many, EventLog(), "hint", "the footer"))
    text = console.export_text()
    assert "Unknown" in text
    assert "11 more" in text
    assert "EVENT" in text
    assert text.rstrip().endswith("the footer")
