"""Carrying out what a function decides: its effects one after the other, each told to whoever records them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

import structlog

from kaito.runtime.announcer import Announcer
from kaito.runtime.keys import Key
from kaito.runtime.plan import Announce, Effect, Plan, Refused, WriteError
from kaito.runtime.recording.recorder import Recorder

log = structlog.get_logger()


class Writer:
    """Of one function: ``run`` carries out an effect on the API server, or wherever else it has one."""

    def __init__(self, run: Callable[[Effect], None], recorder: Recorder | None, announcer: Announcer | None) -> None:
        self._run, self._recorder, self._announcer = run, recorder, announcer

    def decided(
        self,
        key: Key,
        causes: Sequence[str],
        observed: object,
        now: datetime,
        plan: Plan,
        refused: Refused | None = None,
    ) -> str:
        """What the recorder calls this decision."""
        return self._recorder.decision(key, causes, observed, now, plan, refused) if self._recorder else ""

    def write(self, key: Key, decision: str, plan: Plan, effects: Iterable[Effect]) -> Refused | None:
        """These of the plan, up to one that is refused for good, which is returned."""
        for effect in effects:
            try:
                self.carry_out(decision, plan, effect)
            except WriteError as error:
                if not error.permanent:
                    raise
                log.warning("write refused", object=str(key), effect=str(effect), error=str(error))
                return Refused(effect, error)
        return None

    def carry_out(self, decision: str, plan: Plan, effect: Effect) -> None:
        """This one of the plan; raises whatever prevented it."""
        ended = partial(self._ended, decision, plan, effect, time.monotonic())
        if isinstance(effect, Announce):
            if self._announcer:
                self._announcer.send(effect.event, ended)
            return
        failure: Exception | None = None
        try:
            self._run(effect)
        except Exception as caught:
            failure = caught
            raise
        finally:
            ended(failure)

    def _ended(self, decision: str, plan: Plan, effect: Effect, began: float, failure: Exception | None) -> None:
        if self._recorder:
            place = next(place for place, it in enumerate(plan.effects) if it is effect)
            self._recorder.write(decision, place, failure, time.monotonic() - began)
