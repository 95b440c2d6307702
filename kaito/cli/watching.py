"""What a person sees while the platform runs: the Workspaces and the latest events, kept up to date."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group
from rich.layout import Layout
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

    id: str
    time: datetime
    what: str
    outcomes: dict[str, str] = field(default_factory=dict)


class EventLog:
    """The broker's observer: the last events with their deliveries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[Seen] = deque()
        self._by_id: dict[str, Seen] = {}  # of an id that came twice, the later one

    def on_event(self, message: Message) -> None:
        event = message.event
        verb = event.type.rpartition(".")[2]
        about = [event.attributes[key] for key in ("kind", "namespace", "name") if event.attributes.get(key)]
        kind, *named = about or (event.subject or "sweep").split("/")
        what = " ".join(filter(None, (kind, "/".join(named), verb)))
        with self._lock:
            seen = self._by_id[event.id] = Seen(event.id, datetime.now(UTC), what)
            self._seen.append(seen)
            if len(self._seen) > KEPT_EVENTS:
                oldest = self._seen.popleft()
                if self._by_id[oldest.id] is oldest:
                    del self._by_id[oldest.id]

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None:
        outcome = str(attempt.status or attempt.reason or "no answer")
        retried = f", attempt {attempt.number}" if attempt.number > 1 else ""
        with self._lock:
            seen = self._by_id.get(event.id)
            if seen is not None:
                seen.outcomes[trigger.rpartition("/")[2]] = f"{outcome} in {attempt.seconds * 1000:.0f} ms{retried}"

    def last(self, count: int) -> list[Seen]:
        with self._lock:
            return [replace(seen, outcomes=dict(seen.outcomes)) for seen in list(self._seen)[-count:]]


def workspaces_table(workspaces: Sequence[Object], now: datetime, limit: int | None = None) -> Group:
    """What ``kubectl get workspace -A`` says, and below it what each one waits for or where it answers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NAMESPACE", "NAME", "INSTANCE"):
        table.add_column(column, no_wrap=True)  # these give way where there is little room
    for column, width in (("RESOURCE", 8), ("INFERENCE", 9), ("READY", 7), ("AGE", 4)):
        table.add_column(column, no_wrap=True, min_width=width)
    reasons = Table.grid(padding=(0, 1))
    for workspace in workspaces[:limit]:
        meta, found = workspace["metadata"], conditions_of(workspace)
        ready = found.get("WorkspaceReady")
        parts = (found.get("ResourceReady"), found.get("InferenceReady"), ready)
        table.add_row(
            *(Text(part) for part in (meta["namespace"], meta["name"], workspace["resource"].get("instanceType", ""))),
            *(_coloured(part.status if part else "") for part in parts),
            age(meta["creationTimestamp"], now),
        )
        message = ready.message if ready else "no function has seen it yet"
        reasons.add_row(Text(meta["name"], style="bold"), Text(message, style="dim", overflow="fold"))
    more = len(workspaces) - table.row_count
    rest = [Text(f"… {more} more: kubectl get workspace -A", style="dim")] if more else []
    return Group(table, *rest, Text(), reasons)


def workspaces_json(workspaces: Sequence[Object]) -> list[dict[str, Any]]:
    """The same for a program."""
    return [
        {
            "namespace": it["metadata"]["namespace"],
            "name": it["metadata"]["name"],
            "instanceType": it["resource"].get("instanceType", ""),
            "created": it["metadata"]["creationTimestamp"],
            "url": (it.get("status") or {}).get("url", ""),
            "conditions": {kind: found.model_dump(by_alias=True) for kind, found in conditions_of(it).items()},
        }
        for it in workspaces
    ]


def events_table(events: Iterable[Seen]) -> Table:
    """One line an event: what happened, and how each Trigger's function answered."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("TIME", no_wrap=True)
    table.add_column("EVENT", no_wrap=True, ratio=1)
    table.add_column("ANSWERS", no_wrap=True, ratio=1)
    for seen in events:
        outcomes = "   ".join(f"{trigger} {outcome}" for trigger, outcome in sorted(seen.outcomes.items()))
        table.add_row(f"{seen.time:%H:%M:%S}", Text(seen.what), Text(outcomes, style="dim"))
    return table


def screen(console: Console, workspaces: Sequence[Object], log: EventLog, hint: str, footer: str) -> Layout:
    """The whole picture: Workspaces (or ``hint`` while there are none), as many events as fit, the footer always."""
    height = console.height
    limit = max(1, (height - 8) // 5)
    top = workspaces_table(workspaces, datetime.now(UTC), limit) if workspaces else Group(Text(hint))
    needed = len(console.render_lines(top))
    layout = Layout()
    layout.split_column(
        Layout(top, size=min(needed + 1, max(3, height - 8))),
        Layout(events_table(log.last(max(1, height - needed - 4)))),
        Layout(Text(footer, style="dim", no_wrap=True), size=1),
    )
    return layout


def age(created: str, now: datetime) -> str:
    """As kubectl shows it, in its largest unit."""
    seconds = int((now - parse_time(created)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "dim"))
