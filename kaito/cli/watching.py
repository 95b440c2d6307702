"""What a person sees while the platform runs: the Workspaces and the latest events, kept up to date."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from eventing.delivery import Attempt
from eventing.message import Message
from kaito.api.conditions import conditions_of, parse_time
from kaito.api.resources import Object
from kaito.runtime.events import Event

KEPT_EVENTS: Final = 200
COLOURS: Final = {"True": "green", "False": "red", "Unknown": "yellow"}


@dataclass
class Seen:
    """One event and what became of it, by Trigger."""

    time: datetime
    what: str
    outcomes: dict[str, str] = field(default_factory=dict)


class EventLog:
    """The broker's observer: the last events with their deliveries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._order: deque[str] = deque()

    def on_event(self, message: Message) -> None:
        event = message.event
        verb = event.type.rpartition(".")[2]
        name = "/".join(event.attributes[key] for key in ("namespace", "name") if event.attributes.get(key))
        what = f"{event.attributes.get('kind', 'sweep')} {name} {verb}".replace("  ", " ")
        with self._lock:
            self._seen[event.id] = Seen(datetime.now(UTC), what)
            self._order.append(event.id)
            while len(self._order) > KEPT_EVENTS:
                self._seen.pop(self._order.popleft(), None)

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None:
        outcome = str(attempt.status or attempt.reason or "no answer")
        retried = f", attempt {attempt.number}" if attempt.number > 1 else ""
        with self._lock:
            seen = self._seen.get(event.id)
            if seen is not None:
                seen.outcomes[trigger.rpartition("/")[2]] = f"{outcome} in {attempt.seconds * 1000:.0f} ms{retried}"

    def last(self, count: int) -> list[Seen]:
        with self._lock:
            ids = list(self._order)[-count:]
            return [Seen(s.time, s.what, dict(s.outcomes)) for s in (self._seen[i] for i in ids)]


def workspaces_table(workspaces: Iterable[Object], now: datetime) -> Group:
    """What ``kubectl get workspace -A`` says, and below it what each one waits for or where it answers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAMESPACE", "NAME", "INSTANCE", "RESOURCE", "INFERENCE", "READY", "AGE"):
        table.add_column(column, no_wrap=True)
    reasons = Table.grid(padding=(0, 1))
    for workspace in workspaces:
        meta, found = workspace["metadata"], conditions_of(workspace)
        ready = found.get("WorkspaceReady")
        parts = (found.get("ResourceReady"), found.get("InferenceReady"), ready)
        table.add_row(
            meta["namespace"],
            meta["name"],
            workspace["resource"].get("instanceType", ""),
            *(_coloured(part.status if part else "") for part in parts),
            age(meta["creationTimestamp"], now),
        )
        message = ready.message if ready else "no function has seen it yet"
        reasons.add_row(Text(meta["name"], style="bold"), Text(message, style="dim"))
    if not table.row_count:
        return Group(Text("No Workspaces yet.", style="dim"))
    return Group(table, Text(), reasons, Text())


def events_table(events: Iterable[Seen]) -> Table:
    """One line an event: what happened, and how each Trigger's function answered."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("TIME", no_wrap=True)
    table.add_column("EVENT", no_wrap=True, ratio=1)
    table.add_column("ANSWERS", no_wrap=True, ratio=1)
    for seen in events:
        outcomes = "   ".join(f"{trigger} {outcome}" for trigger, outcome in sorted(seen.outcomes.items()))
        table.add_row(f"{seen.time:%H:%M:%S}", seen.what, Text(outcomes, style="dim"))
    return table


def screen(console: Console, workspaces: Iterable[Object], log: EventLog, footer: str) -> Group:
    """The whole picture, as many events as fit."""
    listed = list(workspaces)
    room = max(3, console.height - 4 * len(listed) - 8)
    return Group(workspaces_table(listed, datetime.now(UTC)), events_table(log.last(room)), Text(footer, style="dim"))


def age(created: str, now: datetime) -> str:
    """As kubectl shows it, in its largest unit."""
    seconds = int((now - parse_time(created)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "dim"))
