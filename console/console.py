"""What the page shows, kept up to date: Workspaces as the API server has them, and what was recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import structlog

from console.feed import Feed
from console.history import MOST, History, News
from console.models import key_of
from console.states import State
from console.views import Json, moment_view, row_view, workspace_view
from eventing.recordings.part import Part
from eventing.recordings.recording import RecordingError
from eventing.recordings.sources import Source
from eventing.source.reflector import Cluster, Reflector
from eventing.source.spec import WatchedResource
from kaito.api.resources import WORKSPACE, Object
from kaito.runtime.kube import WatchEvent

#: Seconds between two looks at what is recorded, and after which nobody looks any more who has not asked again.
_PAUSE, _IDLE = 0.5, 60.0
#: Rows that are told of one by one; of more at once, everything is asked for anew.
_SINGLE: Final = 100
#: Records that are taken in before others may look again.
_AT_ONCE: Final = 1000
_log: Final = structlog.get_logger()


class Console:
    """From ``start`` to ``stop``. Without a ``cluster``, Workspaces are as the recording saw them. When nobody has
    asked for anything for ``idle`` seconds, it no longer looks at what is recorded."""

    def __init__(
        self,
        sources: Sequence[Source],
        cluster: Cluster | None = None,
        part: Part | None = None,
        most: int = MOST,
        idle: float = _IDLE,
    ) -> None:
        self.feed, self.history = Feed(), History(most)
        self.sources, self._part = sources, part or Part()
        self._live: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._asked, self._idle = time.monotonic(), idle
        self._read, self._trouble = not sources, ""
        watched = WatchedResource.model_validate({"apiVersion": WORKSPACE.api_version, "kind": WORKSPACE.kind})
        self.reflector = Reflector(watched, None, cluster, self, self._stopping) if cluster else None
        self._threads = [threading.Thread(target=self._follow, name="recording", daemon=True)]
        if self.reflector:
            self._threads.append(threading.Thread(target=self.reflector.run, name="workspaces", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self.reflector:
            self.reflector.interrupt()
        for thread in self._threads:
            thread.join()

    def touch(self) -> None:
        """Somebody watches: while nobody does, recorders are left alone."""
        self._asked = time.monotonic()

    def look(self) -> None:
        """Take in what was recorded since the last look. Raises RecordingError."""
        for source in self.sources:
            found = source.new(self._part)
            while some := list(islice(found, _AT_ONCE)):
                self._tell(self.history.take(some))
        if not self._read:
            self._read = True
            self.feed.publish("reset", {})

    def replace(self, objects: Sequence[Object]) -> None:
        """Of the Reflector: these are all."""
        with self._lock:
            self._live = {key_of(it): it for it in objects}
        self.feed.publish("reset", {})

    def take(self, event: WatchEvent) -> None:
        """Of the Reflector."""
        if event.type == "BOOKMARK":
            return
        key = key_of(event.object)
        with self._lock:
            if event.type == "DELETED":
                self._live.pop(key, None)
            else:
                self._live[key] = event.object
        gone = workspace_view(event.object, live=True, gone=True) if event.type == "DELETED" else None
        self.feed.publish("workspace", gone or workspace_view(event.object, live=True))

    def live(self, key: str) -> Object | None:
        """As the API server has it now."""
        with self._lock:
            return self._live.get(key)

    def state(self) -> Json:
        """What there is, at a glance."""
        return {
            "live": self.reflector is not None,
            "listed": self.reflector is None or self.reflector.listed.is_set(),
            "read": self._read,
            "trouble": self._trouble,
            "lost": self.history.lost,
            "workspaces": self.workspaces(),
        }

    def workspaces(self) -> list[Json]:
        """Those of the cluster, and then those that are only recorded."""
        with self._lock:
            live = dict(self._live)
        recorded = {key: state for key, state in self.history.workspaces().items() if key not in live}
        on_cluster = self.reflector is not None
        views = [workspace_view(obj, live=True) for _, obj in sorted(live.items())]
        views += [self._recorded(state, gone=on_cluster or state.gone) for _, state in sorted(recorded.items())]
        return sorted(views, key=lambda it: it["gone"])

    def moment(self, key: str, at: datetime | None = None) -> Json | None:
        """A Workspace as it is, or as it was ``at`` a time; None where that is not known."""
        states, live = list(self.history.states(key, at)), None
        now = at or self._now(key)
        if at is None and self.reflector is not None:
            live = self.live(key)
            if live is not None:
                states.append(State(now, live))
            elif states:
                states[-1] = replace(states[-1], gone=True)
        return moment_view(states, now, live=live is not None)

    def _now(self, key: str) -> datetime:
        """The clock of a recording stands still when the last was recorded of it."""
        count = self.history.count(key, decided=False) if self.reflector is None else 0
        last = self.history.page(key, count - 1, 1, decided=False) if count else ()
        return last[0].line.record.when if last else datetime.now(UTC)

    @staticmethod
    def _recorded(state: State, *, gone: bool) -> Json:
        return workspace_view(state.object, live=False, gone=gone)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if time.monotonic() - self._asked < self._idle:
                try:
                    self.look()
                    self._complain("")
                except RecordingError as error:
                    self._read = True
                    self._complain(str(error))
            self._stopping.wait(_PAUSE)

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                _log.warning("cannot read what is recorded", reason=trouble)
            self.feed.publish("status", {"trouble": trouble})

    def _tell(self, news: News) -> None:
        if len(news.rows) > _SINGLE:
            self.feed.publish("reset", {})
            return
        if news.rows or news.gone:
            views = [row_view(it) for it in sorted(news.rows.values(), key=lambda it: it.place)]
            self.feed.publish("rows", {"rows": views, "gone": sorted(news.gone)})
        if self.reflector is None:
            for key in sorted(news.workspaces):
                state = self.history.states(key)[-1]
                self.feed.publish("workspace", self._recorded(state, gone=state.gone))
