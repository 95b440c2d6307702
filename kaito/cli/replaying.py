"""``kaito replay``: decisions made again, events walked through and sent again, and histories run with faults."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventing.recordings.lines import find, lines
from eventing.recordings.live import send
from eventing.recordings.lives import config_maps, steps
from eventing.recordings.plain_events import events_of, hints, read_plain
from eventing.recordings.recording import Record, Recording, RecordingError
from eventing.recordings.replay import Replay, difference
from eventing.recordings.story import story
from kaito.cli.recordings import Wanted
from kaito.embedded.faults import Fault, Faults
from kaito.embedded.rerun import rerun
from kaito.runtime.events import Event
from kaito.runtime.log import configure

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Again:
    """A decision and how today's differs; ``trouble``: why there is none today."""

    record: Record
    same: bool
    trouble: str
    difference: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        it = self.record
        return {
            "name": it.name,
            "time": it.when.isoformat(),
            "function": it.function,
            "subject": it.subject,
            "same": self.same,
            "trouble": self.trouble,
            "difference": list(self.difference),
        }


def decided(recording: Recording, wanted: Wanted, event: str) -> Iterator[Again]:
    """Each decision, in order, made again; those that come of one ``event``, if it is given. Raises RecordingError."""
    chosen = find(recording, event).decisions if event else tuple(recording.decisions.values())
    with Replay(recording) as replay:
        for decision in chosen:
            if wanted.then(decision) and wanted.named(decision.subject):
                again = replay.decide(decision)
                differs = () if again.same or again.trouble else tuple(difference(again, recording))
                yield Again(decision, again.same, again.trouble, differs)


def replayed(recording: Recording, wanted: Wanted, event: str, say: Say, *, as_json: bool = False) -> bool:
    """What is otherwise, and how many; as JSON, an object for each decision. Are all the same?"""
    count, others, every = 0, 0, list[dict[str, Any]]()
    for again in decided(recording, wanted, event):
        count, others, it = count + 1, others + (not again.same), again.record
        if as_json:
            every.append(again.to_json())
        elif not again.same:
            say(f"{it.when:%H:%M:%S.%f} {it.function} {it.subject} ({it.name})")
            for line in [again.trouble] if again.trouble else again.difference:
                say(f"  {line}")
    if as_json:
        say(json.dumps(every, indent=2))
    else:
        of = f"{count} decision{'s' * (count != 1)}"
        say(f"{of}, {others} of them otherwise today" if others else f"{of}, the same today")
    return not others


def plain(files: Sequence[Path]) -> tuple[Event, ...]:
    """CloudEvents with nothing recorded beside them, where the files hold such."""
    return tuple(event for file in files for event in read_plain(file))


def hinted(events: Iterable[Event], say: Say) -> None:
    """What the functions would look at for each: there is nothing else to be decided again."""
    for event in events:
        say(f"{event.attributes.get('time', '')} {event.type} {event.subject or event.id}".strip())
        for function, keys in (found := hints(event)).items():
            say(f"  {function} looks at {', '.join(keys)}")
        if not found:
            say("  nobody looks at anything")


def hinted_json(events: Iterable[Event]) -> str:
    told = (
        {"event": dict(it.attributes), "looks": {name: [*keys] for name, keys in hints(it).items()}} for it in events
    )
    return json.dumps(list(told), indent=2)


def told(recording: Recording, wanted: Wanted, event: str) -> tuple[Event, ...]:
    """The events that the functions were told of, each once; the ``event`` of that id, if it is given."""
    chosen = [find(recording, event)] if event else filter(wanted, lines(recording))
    return events_of(it.delivery for it in chosen if it.delivery is not None)


def sent(events: Iterable[Event], url: str, pace: float, say: Say) -> bool:
    """Each, in its turn. Were all taken?"""
    well = True
    for it in send(events, url, pace=pace):
        about, said = it.event.subject or it.event.id, f": {it.said}" if it.said else ""
        say(f"{it.status or 'nobody'} after {it.seconds * 1000:.0f} ms  {it.event.type} {about}{said}")
        well = well and it.taken
    return well


def walked(recording: Recording, wanted: Wanted, ask: Callable[[], str], say: Say) -> None:
    """From the first of the lines to the last, a story each; what is asked in between is where to go."""
    chosen = list(filter(wanted, lines(recording)))
    place = 0
    while place < len(chosen):
        say(f"--- {place + 1} of {len(chosen)} ---")
        say(story(chosen[place], recording))
        answer = ask().strip().lower()
        if answer == "q":
            return
        place = max(0, place - 1) if answer == "b" else place + 1


def fuzzed(recording: Recording, wanted: Wanted, kinds: Sequence[Fault], seed: int, say: Say) -> bool:
    """The history of its Workspaces on an embedded platform, without faults and with. Do both end the same?"""
    history = [it for it in steps(recording) if wanted.named("/".join(("workspace", *it.name)))]
    if not history:
        raise RecordingError("nobody applies a Workspace in this recording: there is no history to be run")
    with tempfile.TemporaryDirectory(prefix="kaito-fuzz-") as folder, (Path(folder) / "log").open("w") as log_file:
        configure(log_file)
        found = rerun(history, config_maps(recording), Path(folder), Faults(kinds, seed), say)
    counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(found.happened.items())) or "none"
    say(f"faults: {counts}, in {found.seconds:.1f} s")
    for line in found.difference:
        say(line)
    say("another end than without faults" if found.difference else "the same end as without faults")
    return not found.difference


def faults(text: str) -> list[Fault]:
    """From ``drop,duplicate``. Raises RecordingError."""
    try:
        return [Fault(it.strip()) for it in text.split(",")]
    except ValueError as error:
        raise RecordingError(f"{error}: the faults are {', '.join(Fault)}, with commas between") from error
