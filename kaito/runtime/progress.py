"""What only tells that something is under way, held back for what follows at once."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from kaito.runtime.keys import Key

Telling = TypeVar("Telling")

#: Seconds that it waits for what else comes of it.
SECONDS: Final = 1.0
#: How far apart it is told of many objects: people read it.
INTERVAL: Final = 0.1
#: How much longer it waits while there is work to do, which others wait for.
PATIENCE: Final = 5.0


class Progress(Generic[Telling]):
    """One telling a key: a newer one takes the place of an older, and is told when that would have been.

    Times are those of time.monotonic(). Not thread-safe.
    """

    def __init__(self) -> None:
        self._held: dict[Key, Telling] = {}
        self._due: dict[Key, float] = {}
        self._last = 0.0

    def hold(self, key: Key, telling: Telling, now: float) -> float:
        """Returns when it is due."""
        if key not in self._due:
            self._last = self._due[key] = max(now + SECONDS, self._last + INTERVAL)
        self._held[key] = telling
        return self._due[key]

    def holds(self, key: Key, telling: Telling) -> bool:
        return self._held.get(key) is telling

    def overdue(self, key: Key, now: float) -> bool:
        return now >= self._due[key] + PATIENCE

    def drop(self, key: Key) -> None:
        """It is being told, or something newer will be in its place."""
        self._held.pop(key, None)

    def forget(self, key: Key) -> None:
        """All is told of the key: what comes next is due in its own time."""
        self._due.pop(key, None)
