"""What one Workspace was like, and when: each version of it that somebody saw. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kaito.api.resources import Object


@dataclass(frozen=True, slots=True)
class State:
    """``when`` it was first seen; ``gone``: it was the last."""

    when: datetime
    object: Object
    gone: bool = False

    @property
    def version(self) -> int:
        """Versions grow with time, whoever tells of them, and when."""
        version = str(self.object["metadata"].get("resourceVersion", ""))
        return int(version) if version.isascii() and version.isdigit() else 0


class States:
    def __init__(self) -> None:
        self._known: dict[tuple[str, str, bool], State] = {}

    def add(self, state: State) -> bool:
        """Is it news? Of those that saw the same the first one counts."""
        meta = state.object["metadata"]
        name = str(meta.get("uid", "")), str(meta.get("resourceVersion", "")), state.gone
        known = self._known.get(name)
        if known is None or state.when < known.when:
            self._known[name] = state
        return known is None

    def until(self, when: datetime | None) -> Sequence[State]:
        """Those that had been seen by then (all of them, if None), in the order in which they came to be."""
        seen = [it for it in self._known.values() if when is None or it.when <= when]
        return sorted(seen, key=lambda it: (it.version, it.when))

    def forget(self, before: datetime) -> None:
        """All but the last of those that were seen before."""
        old = {id(it) for it in self.until(before)[:-1]}
        self._known = {name: it for name, it in self._known.items() if id(it) not in old}
