"""A revision's one replica: started, probed, started again when it ends, with growing pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import httpx
import structlog

from kaito.embedded.knative.host import Host
from kaito.embedded.knative.pod import Container, ServicePod
from kaito.embedded.knative.probe import Probing, probe_of
from kaito.embedded.knative.revision import INTERNAL_ERROR, PodFailure, Revision, internal_error
from kaito.embedded.process import Process
from kaito.runtime.kube import KubeError

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
#: Ends without a quiet time between them after which it is said to have failed, though each time it had been ready.
CRASH_LOOP: Final = 3
#: Seconds a process has to end by itself when its replica is no longer wanted.
GRACE: Final = 5.0

log = structlog.get_logger()


class Phase(Enum):
    STARTING = "starting"
    READY = "ready"
    #: It had been ready; requests wait until it is again.
    UNREADY = "unready"
    #: It does not run, or keeps ending; it is tried again all the same.
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class State:
    phase: Phase
    port: int | None = None
    failure: PodFailure | None = None
    process: Process | None = None


class Replica:
    """Runs in a thread of its own from ``start`` to ``stop``; ``changed`` is called after each change of ``state``,
    ``ended`` once, when nothing of it is left.

    ``in_flight`` belongs to the Service that sends it requests.
    """

    def __init__(
        self,
        revision: Revision,
        node: str | None,
        host: Host,
        client: httpx.Client,
        changed: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self.revision, self.node = revision, node
        self.state = State(Phase.STARTING)
        self.in_flight = 0
        self._client, self._changed, self._ended = client, changed, ended
        self._pod = ServicePod(revision, host)
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"replica-{revision.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; ``join`` waits for that."""
        self._stopping = True
        self._wake.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        pause, crashes, said = FIRST_PAUSE, 0, ""
        while not self._stopping:
            self._wake.clear()
            begun = time.monotonic()
            try:
                failure, was_ready = self._run_once()
            except Exception as error:  # noqa: BLE001 - or its GPUs stay held and its status says nothing, for ever
                failure, was_ready = internal_error(error), False
            if failure is None:
                break
            if time.monotonic() - begun > LONGEST_PAUSE:
                pause, crashes = FIRST_PAUSE, 0
            crashes += 1
            if was_ready and crashes < CRASH_LOOP:
                self._become(State(Phase.UNREADY))
            else:
                self._become(State(Phase.FAILED, failure=failure))
            if str(failure) != said:  # once, and not every half a minute while weights are missing
                said = str(failure)
                trace = failure.__cause__ if failure.reason == INTERNAL_ERROR else None
                log.warning("replica ended", revision=self.revision.name, failure=said, again_in=pause, exc_info=trace)
            self._pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._pod.remove()
        self._ended()
        self._become(State(Phase.STOPPED))

    def _pause(self, duration: float) -> None:
        """Wait, unless or until ``stop`` is called; a late signal of the ended process does not cut it short."""
        until = time.monotonic() + duration
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            if not self._stopping:
                self._wake.clear()

    def _run_once(self) -> tuple[PodFailure | None, bool]:
        """One process from start to end: why it ended (None when it was stopped), and whether it had been ready."""
        try:
            container = self._pod.start()
        except PodFailure as failure:
            return failure, False
        except KubeError as error:
            return PodFailure("CreateContainerConfigError", f"the API server does not answer: {error}"), False
        watcher = threading.Thread(target=self._signal_end, args=(container,), daemon=True)
        watcher.start()
        try:
            return self._attend(container)
        finally:
            container.process.stop(GRACE)
            watcher.join()

    def _signal_end(self, container: Container) -> None:
        container.process.wait()
        self._wake.set()

    def _attend(self, container: Container) -> tuple[PodFailure | None, bool]:
        """Probe the process until it ends, or has to be ended, or is to stop."""
        begun, was_ready = time.monotonic(), False
        startup, readiness, liveness = (
            Probing(probe, begun, eager=field != "livenessProbe") if probe else None
            for field in ("startupProbe", "readinessProbe", "livenessProbe")
            for probe in [probe_of(field, self.revision, container, self._client, self._pod.local)]
        )
        assert readiness is not None
        give_up = begun + self.revision.progress_deadline
        while not self._stopping:
            if (code := container.process.exit_code) is not None:
                tail = container.process.tail() or "it wrote nothing"
                return PodFailure(f"ExitCode{code}", f"Container failed with exit code {code}: {tail}"), was_ready
            for probing in _active(startup, readiness, liveness):
                if probing.due <= time.monotonic():
                    probing.ask(time.monotonic)
            for name, killing in (("startup", startup), ("liveness", liveness)):
                if killing and killing.verdict is False:
                    message = f"the {name} probe failed too often: {container.process.tail()}"
                    return PodFailure(f"{name.capitalize()}ProbeFailed", message), was_ready
            if readiness.verdict:
                was_ready = True
                self._become(State(Phase.READY, container.port, process=container.process))
            elif was_ready:
                self._become(State(Phase.UNREADY))
            elif time.monotonic() >= give_up:
                limit = f"{self.revision.progress_deadline:g}"
                return PodFailure("ProgressDeadlineExceeded", f"it was not ready within {limit} seconds"), False
            dues = [probing.due for probing in _active(startup, readiness, liveness)]
            self._wake.wait(max(0.0, min([*dues, give_up] if not was_ready else dues) - time.monotonic()))
        return None, was_ready

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._changed()


def _active(startup: Probing | None, *others: Probing | None) -> list[Probing]:
    """Until the startup probe has succeeded the others are not asked."""
    if startup and not startup.verdict:
        return [startup]
    return [probing for probing in others if probing]
