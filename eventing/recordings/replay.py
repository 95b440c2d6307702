"""Deciding again what was decided: recorded observations to today's code, and what it would do otherwise.

No I/O but the files of the recorded installation.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, Self

from eventing.recordings.plain import as_yaml, changes, plain
from eventing.recordings.recording import Record, Recording, RecordingError
from functions.provisioner import app as provisioner
from functions.provisioner.status import NAME as PROVISIONER
from functions.tuning import app as tuning
from functions.tuning.status import NAME as TUNING
from functions.workspace import app as workspace
from functions.workspace.reconcile import NAME as WORKSPACE
from kaito.api.redaction import redacted
from kaito.api.resources import Object
from kaito.runtime.decisions import Decisions
from kaito.runtime.events import Event
from kaito.runtime.keys import Key
from kaito.runtime.recording import codec
from kaito.runtime.recording.codec import CodecError


class Replayable(Protocol):
    """The module of a function, as far as it needs no cluster."""

    def keys(self, event: Event, /) -> Iterable[Key]: ...

    def decisions(self, environment: Mapping[str, str], /) -> Decisions[Any]: ...


FUNCTIONS: Final[Mapping[str, Replayable]] = {WORKSPACE: workspace, PROVISIONER: provisioner, TUNING: tuning}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision, and ``plan``: what today's code decides instead, as it would be recorded.

    ``trouble``: why that cannot be said; ``objects``: those that the plan names, by their digests.
    """

    record: Record
    plan: Any = None
    trouble: str = ""
    objects: Mapping[str, Object] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        return not self.trouble and codec.canonical(self.plan) == codec.canonical(self.record.data["plan"])


class Replay:
    """Of one recording. A context manager: the recorded catalogues are files while it is open."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._stack = contextlib.ExitStack()
        self._decisions: dict[str, Decisions[Any]] = {}

    def __enter__(self) -> Self:
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kaito-replay-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def decide(self, record: Record) -> Replayed:
        """What today's code decides of what was observed then, by the clock of then."""
        find, data = self._recording.object, record.data
        try:
            decisions = self._decisions_of(record.process)
            observed = codec.load(data["observed"], find, decisions.types)
            refused = codec.load(data["refused"], find, decisions.types)
        except (RecordingError, CodecError) as error:
            return Replayed(record, trouble=str(error))
        now = datetime.fromisoformat(data["now"])
        try:
            plan = decisions.reconcile(observed, now) if refused is None else decisions.refused(observed, refused, now)
        except Exception as error:  # noqa: BLE001 - it is what today's code does
            return Replayed(record, trouble=f"{type(error).__name__}: {error}")
        objects = dict[str, Object]()

        def keep(obj: Object) -> str:
            seen = redacted(obj)
            name = codec.digest(seen)
            objects[name] = seen
            return name

        return Replayed(record, codec.dump(plan, keep), objects=objects)

    def _decisions_of(self, process: str) -> Decisions[Any]:
        """By what that process was started with. Raises RecordingError."""
        function = process.partition("/")[0]
        if function not in FUNCTIONS:
            raise RecordingError(f"this release has no function {function}")
        installation = self._recording.installation(process)
        known = f"{function} {codec.canonical(installation.to_json())}"
        if known not in self._decisions:
            environment = installation.restore(self._directory / str(len(self._decisions)))
            try:
                self._decisions[known] = FUNCTIONS[function].decisions(environment)
            except ValueError as error:
                raise RecordingError(f"{process} was started with what this release does not take: {error}") from error
        return self._decisions[known]


def difference(replayed: Replayed, recording: Recording) -> list[str]:
    """The lines of the plan in which today's code would do otherwise."""
    then = as_yaml(plain(replayed.record.data["plan"], recording.objects))
    return changes(then, as_yaml(plain(replayed.plan, {**recording.objects, **replayed.objects})))
