"""What is new, for all who watch: one bounded ring, from which each reads at its own pace or falls out of."""

from __future__ import annotations

import json
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Messages that are kept for who is slow, or comes back.
KEPT: Final = 512
#: Seconds after which who hears of nothing is told that it still would, and after which a stream ends, for the browser
#: to go on with another: before Knative ends it in the middle of a message.
_PULSE, _LIFE = 10.0, 240.0
#: Milliseconds before a browser whose stream has ended opens another.
_RETRY: Final = 500


@dataclass(frozen=True, slots=True)
class Message:
    number: int
    kind: str
    data: str


class Feed:
    """Thread-safe. A message's id is also this feed's own: the ids of another process are of no use here."""

    def __init__(self, kept: int = KEPT) -> None:
        self._name = secrets.token_hex(4)
        self._changed = threading.Condition()
        self._ring: deque[Message] = deque(maxlen=kept)
        self._last = 0

    def publish(self, kind: str, data: Any) -> None:
        text = json.dumps(data, separators=(",", ":"))
        with self._changed:
            self._last += 1
            self._ring.append(Message(self._last, kind, text))
            self._changed.notify_all()

    def stream(self, last_id: str, beat: Callable[[], None], life: float = _LIFE) -> Iterator[str]:
        """In the words of text/event-stream, from after ``last_id``; ``reset`` says that something was missed, and all
        there is must be asked for anew. It ends after its ``life`` in seconds, and where its reader is too slow."""
        place = self._place(last_id)
        yield f"retry: {_RETRY}\n\n"
        if place is None:
            place = self._last
            yield self._text(Message(place, "reset", "{}"))
        pulses = max(1, int(life / _PULSE))
        while pulses and self._holds(place):
            beat()
            found = self._after(place)
            if not found:
                pulses -= 1
                yield ": nothing new\n\n"
            for message in found:
                place = message.number
                yield self._text(message)

    def _place(self, last_id: str) -> int | None:
        """Where it was; None where that is not known, or not kept any more."""
        name, _, number = last_id.partition("-")
        if name != self._name or not (number.isascii() and number.isdigit()):
            return None
        return int(number) if self._holds(int(number)) else None

    def _holds(self, place: int) -> bool:
        """Is all that came after it kept?"""
        with self._changed:
            return self._last - len(self._ring) <= place <= self._last

    def _after(self, place: int) -> list[Message]:
        """What came after it, as soon as there is something, or nothing after a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > place, _PULSE)
            return [it for it in self._ring if it.number > place]

    def _text(self, message: Message) -> str:
        return f"id: {self._name}-{message.number}\nevent: {message.kind}\ndata: {message.data}\n\n"
