"""Coalescing deliveries into reconciles.

A delivery is answered once a reconcile of its key that *began* after it arrived has ended: an acknowledged event is
never lost, and a crash before that means redelivery. Many deliveries for one key cost one reconcile, many waiting
keys cost one observation. What is done comes before what is told of it: when much is waiting, statuses and Events are
written after all else. What only tells how far something has come is held back for a moment: what follows at once is
told with it, in one status instead of two, and nobody's delivery waits for that. A key is never reconciled twice at
once in this process; between two replicas, server-side apply with preconditions keeps it right.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Generic, TypeVar

import structlog

from kaito.api.resources import Kind, Object
from kaito.runtime.announcer import Announcer
from kaito.runtime.apply import run
from kaito.runtime.crew import Crew
from kaito.runtime.decisions import Decisions
from kaito.runtime.echo import Echoes, content
from kaito.runtime.events import Event
from kaito.runtime.keys import Key, own_key
from kaito.runtime.kube import Conflict, Kube, KubeError
from kaito.runtime.plan import Effect, Plan
from kaito.runtime.progress import Progress
from kaito.runtime.recording.installation import NOTHING, Installation
from kaito.runtime.recording.recorder import Recorder
from kaito.runtime.sweep import FastSweep
from kaito.runtime.timers import Timers
from kaito.runtime.writer import Writer

log = structlog.get_logger()
Observed = TypeVar("Observed")

#: A conflict means our picture was old, so look again at once; a writer that keeps winning is answered 409.
CONFLICT_TRIES = 5
#: At least from one look at the API server to the next, and in relation to what the one took: what arrives meanwhile
#: is looked at together, so that looking takes two thirds of the time at most, however much there is to be seen. (With
#: a third, 200 Workspaces at once are settled 1.5 s later; with a sixth, 4.7 s.)
LOOK_SECONDS, LOOK_SHARE = 0.1, 1.5
#: Why an object is looked at where no delivery is the reason: the first sweep of a process, a plan that asked to look
#: again, and somebody who wrote in between.
START, TIMER, CONFLICT = "start", "timer", "conflict"


@dataclass(frozen=True, slots=True)
class Function(Generic[Observed]):
    """One concern. ``name`` is also its field manager.

    ``keys`` turns an event into the objects it hints at; an event that hints at none, about an object of the kind
    ``stirs``, concerns whoever has read it, and may be what whatever is unsettled waits for. ``list_keys`` names all
    objects, for the sweep; ``observe`` does all reads for some keys at once; ``own`` is the key's own object among what
    was read, and ``others`` are the rest. ``decisions`` are pure; ``run`` carries an effect out. ``fast_sweep`` is the
    PingSource that exists only while something is unsettled, or ``hears`` says that events may not reach the function;
    None where something else sweeps as often. ``installation`` reads what it decides by, which is recorded with it.
    """

    name: str
    keys: Callable[[Event], Iterable[Key]]
    stirs: Kind
    list_keys: Callable[[Kube], Sequence[Key]]
    observe: Callable[[Kube, Sequence[Key]], Mapping[Key, Observed]]
    decisions: Decisions[Observed]
    fast_sweep: Object | None
    hears: Callable[[Kube], bool]
    own: Callable[[Observed], Object | None]
    others: Callable[[Observed], Iterable[Object]]
    run: Callable[[Effect, Kube, str], None] = run
    installation: Callable[[], Installation] = lambda: NOTHING


#: A reconcile on its way: it stops before it tells of what it has done, and says whether that may wait for what comes
#: next. It ends with what prevented it.
Steps = Generator[bool, None, Exception | None]


@dataclass(frozen=True, slots=True)
class Waiter:
    """A delivery: ``future`` is its answer, ``heard`` the content of the object that it came with, where it did;
    ``cause`` says where it comes from."""

    future: Future[None]
    heard: str | None
    cause: str


class Reconciler(Generic[Observed]):
    """Runs one Function against one API server: one thread looks, ``workers`` threads decide and write."""

    def __init__(
        self,
        function: Function[Observed],
        kube: Kube,
        *,
        workers: int = 8,
        recorder: Recorder | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        self._function, self._kube, self.recorder = function, kube, recorder
        self._writer = Writer(lambda effect: function.run(effect, kube, function.name), recorder, announcer)
        self._changed = threading.Condition()
        self._waiting: dict[Key, list[Waiter]] = {}
        self._active: set[Key] = set()
        self._unsettled: set[Key] = set()
        self._hears = True
        self._echoes = Echoes()
        self._fast_sweep = FastSweep(function.fast_sweep, kube, function.name)
        self._never = threading.Event()
        self._progress: Progress[Steps] = Progress()
        self._timers = Timers()
        self._workers = Crew(workers, "reconcile")
        threading.Thread(target=self._look, name="look", daemon=True).start()

    def hear(self, event: Event, cause: str = "") -> list[Future[None]]:
        """Ask for a reconcile of whatever the event hints at; of nothing where it says only what is known. ``cause`` is
        what the recorder calls it."""
        keys = tuple(self._function.keys(event))
        about = own_key(event.attributes, (self._function.stirs,))
        if not keys and about is not None:
            readers = self._echoes.readers(about.kind, about.namespace, about.name)
            with self._changed:
                keys = tuple({*self._unsettled, *readers})
        said = event.data if keys and not event.type.endswith(".delete") else None
        # Hashed before the lock is taken, and once.
        heard = content(said) if isinstance(said, dict) else None
        return self._await(((key, heard) for key in keys), cause)

    def submit(self, keys: Iterable[Key], cause: str = "") -> list[Future[None]]:
        """Ask for a reconcile of each key; each future ends with it, or with the KubeError that prevented it."""
        return self._await(((key, None) for key in keys), cause)

    def _await(self, asked: Iterable[tuple[Key, str | None]], cause: str) -> list[Future[None]]:
        futures = []
        with self._changed:
            for key, heard in asked:
                waiter = Waiter(Future(), heard, cause)
                self._waiting.setdefault(key, []).append(waiter)
                futures.append(waiter.future)
            self._changed.notify_all()
        return futures

    def sweep(self, cause: str = START) -> list[Future[None]]:
        """Ask for a reconcile of every object there is; raises KubeError, and is then tried again by a fast sweep."""
        try:
            hears = self._function.hears(self._kube)  # what comes after this look, is heard of or listed now
            keys = self._function.list_keys(self._kube)
        except KubeError:
            with self._changed:
                self._hears = False
            self._balance_fast_sweep()
            raise
        with self._changed:
            self._unsettled.intersection_update(keys)
            self._hears = hears
        if not keys:
            self._balance_fast_sweep()
        return self.submit(keys, cause)

    def _look(self) -> None:
        """Look at whatever waits, all at once, and have each decided and written for beside the others."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: any(key not in self._active for key in self._waiting))
                batch = {key: self._waiting.pop(key) for key in list(self._waiting) if key not in self._active}
                self._active.update(batch)
            looked = time.monotonic()
            self._begin(batch)
            # What comes now waits for the next look, together: a lone event never does.
            took = time.monotonic() - looked
            self._never.wait(max(LOOK_SECONDS, LOOK_SHARE * took) - took)

    def _begin(self, batch: Mapping[Key, list[Waiter]]) -> None:
        news = {}
        for key, waiters in batch.items():
            # Judged when nobody is looking at the object.
            if self._echoes.tell_nothing(key, (waiter.heard for waiter in waiters)):
                self._end(key, waiters, None)
            else:
                news[key] = waiters
        if not news:
            return
        with self._changed:
            for key in news:
                self._progress.drop(key)
        try:
            observed = self._function.observe(self._kube, list(news))
        except Exception as caught:  # noqa: BLE001 - handed to the deliveries, which answer with it
            for key, waiters in news.items():
                self._end(key, waiters, caught)
            return
        for key, waiters in news.items():
            causes = tuple(dict.fromkeys(waiter.cause for waiter in waiters))
            self._workers.submit(partial(self._go_on, key, waiters, self._reconcile(key, observed[key], causes)))

    def _go_on(self, key: Key, waiters: list[Waiter], steps: Steps) -> None:
        try:
            may_wait = next(steps)
        except StopIteration as ended:
            with self._changed:
                self._progress.forget(key)
            self._end(key, waiters, ended.value)
            return
        if may_wait:
            with self._changed:
                due = self._progress.hold(key, steps, time.monotonic())
            self._timers.at(due, partial(self._tell, key, steps))
            self._end(key, waiters, None)
        else:
            self._workers.submit(partial(self._go_on, key, waiters, steps), later=True)

    def _tell(self, key: Key, steps: Steps) -> None:
        """What was held back, unless something newer has taken its place."""
        with self._changed:
            if not self._progress.holds(key, steps):
                return
            now, busy = time.monotonic(), self._waiting or self._active
            if key in self._active or (busy and not self._progress.overdue(key, now)):
                self._timers.at(now + LOOK_SECONDS, partial(self._tell, key, steps))
                return
            self._progress.drop(key)
            self._active.add(key)
        self._workers.submit(partial(self._go_on, key, [], steps), later=True)

    def _end(self, key: Key, waiters: list[Waiter], failure: Exception | None) -> None:
        """Answer the deliveries; the key may be looked at again."""
        if failure is not None:
            self._echoes.forget(key)
        with self._changed:
            self._active.discard(key)
            self._changed.notify_all()
        for waiter in waiters:
            if failure is None:
                waiter.future.set_result(None)
            else:
                waiter.future.set_exception(failure)
        self._balance_fast_sweep()

    def _reconcile(self, key: Key, observed: Observed, causes: Sequence[str]) -> Steps:
        """Decide and write; looked at again where somebody was faster. Returns what prevented it."""
        for attempt in range(1, CONFLICT_TRIES + 1):
            try:
                if attempt > 1:
                    observed = self._function.observe(self._kube, [key])[key]
                yield from self._write(key, observed, causes)
            except Conflict as conflict:
                failure: Exception = conflict
                causes = (CONFLICT,)
            except Exception as caught:  # noqa: BLE001 - handed to the deliveries, which answer with it
                failure = caught
                break
            else:
                return None
        with self._changed:
            self._unsettled.add(key)
        details = None if isinstance(failure, KubeError) else failure
        log.warning("reconcile failed", object=str(key), error=str(failure), exc_info=details)
        return failure

    def _write(self, key: Key, observed: Observed, causes: Sequence[str]) -> Generator[bool, None, None]:
        """Carry out the plan; where a write of it is refused for good, the plan for that."""
        started, now = time.monotonic(), datetime.now(UTC)
        plan = self._function.decisions.reconcile(observed, now)
        decision = self._writer.decided(key, causes, observed, now, plan)
        refused = self._writer.write(key, decision, plan, plan.does)
        if refused is None:
            self._know(key, observed, plan, started)
            if plan.tells:
                yield not plan.settled
                refused = self._writer.write(key, decision, plan, plan.tells)
        if refused is not None:
            now = datetime.now(UTC)
            plan = self._function.decisions.refused(observed, refused, now)
            decision = self._writer.decided(key, (decision,), observed, now, plan, refused)
            for effect in plan.effects:
                self._writer.carry_out(decision, plan, effect)
            self._know(key, observed, plan, started)

    def _know(self, key: Key, observed: Observed, plan: Plan, started: float) -> None:
        """Keep in mind what was done, and will be told."""
        self._echoes.note(key, self._function.own(observed), self._function.others(observed), plan)
        with self._changed:
            if plan.settled:
                self._unsettled.discard(key)
            else:
                self._unsettled.add(key)
        if plan.requeue_after is None:
            self._timers.cancel(key)
        else:
            self._timers.at(time.monotonic() + plan.requeue_after, partial(self.submit, [key], TIMER), name=key)
        log.info(
            "reconciled",
            object=str(key),
            effects=[str(effect) for effect in plan.effects],
            settled=plan.settled,
            requeue_after=plan.requeue_after,
            seconds=round(time.monotonic() - started, 3),
        )

    def _balance_fast_sweep(self) -> None:
        """Have the fast sweep exactly while something is unsettled or unheard."""
        if self._fast_sweep.switch(self._wants_fast_sweep):
            with self._changed:
                self._changed.notify_all()

    def _wants_fast_sweep(self) -> bool | None:
        with self._changed:
            wanted = bool(self._unsettled) or not self._hears
            return None if not wanted and (self._waiting or self._active) else wanted
