"""A reconciler for tests that answers as it was told to, and an event's headers to ask it with."""

from __future__ import annotations

from concurrent.futures import Future

from kaito.api.resources import WORKSPACE
from kaito.runtime.events import Event
from kaito.runtime.keys import Key

KEY = Key(WORKSPACE, "default", "phi")
HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t", "content-type": "application/json"}


class ScriptedReconciler:
    """Answers each key with ``outcome`` at once, and says what it heard and was asked. Data with ``ours`` false hints
    at no key."""

    def __init__(self, outcome: Exception | None = None, sweep: Exception | None = None) -> None:
        self.outcome, self.sweep_fails = outcome, sweep
        self.recorder = None
        self.heard: list[Event] = []
        self.asked: list[str] = []

    def hear(self, event: Event, cause: str = "") -> list[Future[None]]:
        self.heard.append(event)
        return [self._answer(str(KEY))] if event.data.get("ours", True) else []

    def sweep(self, cause: str = "") -> list[Future[None]]:
        if self.sweep_fails:
            raise self.sweep_fails
        return [self._answer("sweep")]

    def _answer(self, what: str) -> Future[None]:
        self.asked.append(what)
        future: Future[None] = Future()
        if self.outcome:
            future.set_exception(self.outcome)
        else:
            future.set_result(None)
        return future
