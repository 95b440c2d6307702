"""One Knative Service on this machine: its revisions, the one the route leads to, and its status.

One thread a Service decides and writes; replicas, requests and watches only wake it. A Service has one replica a
revision at most, whatever its scale annotations allow: a second one would share the same processors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import structlog

from kaito.api.resources import Object
from kaito.embedded.knative.admission import refusals, unsupported
from kaito.embedded.knative.cluster import Cluster
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.publish import Publisher
from kaito.embedded.knative.replica import Phase, Replica
from kaito.embedded.knative.revision import PodFailure, Revision, internal_error
from kaito.embedded.knative.route import Backend, NotReadyInTime, ServiceFailed, UnknownRoute
from kaito.embedded.knative.scheduling import Unschedulable
from kaito.embedded.knative.schema import malformed, without_nulls
from kaito.embedded.knative.status import Activity, Progress, Version

#: Seconds until a status that could not be written is tried again.
WRITE_AGAIN = 1.0
#: Seconds until what failed in a way that nobody foresaw is tried again.
LOOK_AGAIN = 30.0

log = structlog.get_logger()


class LocalService:
    """Runs from ``start`` until ``end``; ``update`` gives it a newer object. Thread-safe."""

    def __init__(
        self,
        service: Object,
        url: str,
        host: Host,
        cluster: Cluster,
        client: httpx.Client,
        on_change: Callable[[str, str, str], None],
    ) -> None:
        self.uid: str = service["metadata"]["uid"]
        self.namespace: str = service["metadata"]["namespace"]
        self.name: str = service["metadata"]["name"]
        self._service, self._publisher = without_nulls(service), Publisher(service, host.kube)
        self._url, self._host, self._cluster, self._client, self._on_change = url, host, cluster, client, on_change
        self._admitted: int | None = None  # the generation
        self._latest: Revision | None = None
        self._routed: Revision | None = None
        self._refusal: PodFailure | None = None
        self._unplaced: dict[str, PodFailure] = {}
        self._replicas: dict[str, Replica] = {}
        self._leaving: dict[Replica, float] = {}  # no new requests; stopped when idle, or at that time
        self._waiting = 0
        self._last_used = time.monotonic()
        self._ended = False
        self._state = ""
        self._lock = threading.Condition()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ksvc-{self.namespace}-{self.name}", daemon=True)

    def start(self) -> None:
        self._wake.set()
        self._thread.start()

    @property
    def running(self) -> bool:
        """False once the thread and all processes have ended."""
        return self._thread.is_alive() or any(
            replica.state.phase is not Phase.STOPPED for replica in (*self._replicas.values(), *self._leaving)
        )

    def wake(self) -> None:
        """Something it may depend on has changed. Takes no lock, so that anyone may call it."""
        self._wake.set()

    def update(self, service: Object) -> None:
        """Its own status writes come back here too, and change nothing."""
        with self._lock:
            if service["metadata"].get("generation") == self._service["metadata"].get("generation"):
                return
            self._service = without_nulls(service)
        self.wake()

    def end(self) -> None:
        """Stop all processes; ``join`` waits until they are gone."""
        with self._lock:
            self._ended = True
            self._lock.notify_all()
            for replica in (*self._replicas.values(), *self._leaving):
                replica.stop()
        self.wake()

    def join(self) -> None:
        self._thread.join()
        for replica in (*self._replicas.values(), *self._leaving):
            replica.join()

    @contextmanager
    def acquire(self) -> Iterator[Backend]:
        """A ready replica for one request, waiting for it (and waking it from zero) if need be. Raises RouteError."""
        with self._lock:
            replica, backend = self._await_replica()
            replica.in_flight += 1
        try:
            yield backend
        finally:
            with self._lock:
                replica.in_flight -= 1
                self._last_used = time.monotonic()
                self._lock.notify_all()
            if replica in self._leaving:
                self.wake()

    def _await_replica(self) -> tuple[Replica, Backend]:
        begun, asked = time.monotonic(), False
        self._waiting += 1
        try:
            while True:
                if self._ended:
                    raise UnknownRoute(f"Service {self.name} of namespace {self.namespace} has been deleted")
                if failure := self._route_failure():
                    raise ServiceFailed(f"Service {self.name} does not run: {failure}")
                revision = self._routed or self._latest
                deadline = begun + (revision.timeout if revision else 300)
                replica = self._replicas.get(self._routed.name) if self._routed else None
                if (
                    replica
                    and (port := replica.state.port)
                    and replica.in_flight < (replica.revision.concurrency or replica.in_flight + 1)
                ):
                    return replica, Backend(port, deadline, replica.state.process)
                if not asked:
                    asked = True
                    self.wake()
                left = deadline - time.monotonic()
                if left <= 0:
                    why = self._unplaced.get(revision.name) if revision else None
                    late = f"Service {self.name} was not ready within {deadline - begun:g} seconds"
                    raise NotReadyInTime(f"{late}: {why.message}" if why else late)
                self._lock.wait(left)
        finally:
            self._waiting -= 1
            self._last_used = time.monotonic()  # who gave up may ask again

    def _route_failure(self) -> PodFailure | None:
        """Why the revision that requests go to cannot take them, if it is known. For a Node it is worth waiting."""
        if self._routed:
            replica = self._replicas.get(self._routed.name)
            return replica.state.failure if replica else None
        return self._refusal or (self._failure_of(self._latest) if self._latest else None)

    def _failure_of(self, revision: Revision) -> PodFailure | None:
        replica = self._replicas.get(revision.name)
        return replica.state.failure if replica else self._unplaced.get(revision.name)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            with self._lock:
                if self._ended:
                    return
                now = time.monotonic()
                pause = self._look(now)
                progress, state = self._progress(), self._describe()
                self._lock.notify_all()
            if state != self._state:
                self._state = state
                self._on_change(self.namespace, self.name, state)
            if not self._publisher.publish(progress):
                pause = min(pause or WRITE_AGAIN, WRITE_AGAIN)

    def _look(self, now: float) -> float | None:
        """Decide and start what is decided; returns the seconds until the next look, None for no need of one."""
        try:
            self._reconcile(now)
        except Exception as error:  # or its thread ends, and its status says what once was, for ever
            self._refusal = internal_error(error)
            log.exception("service failed", service=self.name, namespace=self.namespace)
            return LOOK_AGAIN
        return self._next_look(now)

    def _reconcile(self, now: float) -> None:
        self._admit()
        if self._latest and self._latest is not self._routed and self._is_ready(self._latest):
            self._routed, self._last_used = self._latest, now
        current = self._current()
        for name in [name for name in self._replicas if name not in current]:
            self._leave(name, now)
        for name, revision in current.items():
            replica = self._replicas.get(name)
            if replica and replica.node and not self._cluster.has(replica.node):
                self._leave(name, now)  # its Node is gone: evicted, and placed again below
                replica.stop()
                replica = None
            if not self._wanted(revision, now):
                self._unplaced.pop(name, None)
                if replica:
                    self._leave(name, now)
            elif replica is None:
                self._launch(revision)
        self._dismiss(now)

    def _current(self) -> dict[str, Revision]:
        return {revision.name: revision for revision in (self._routed, self._latest) if revision}

    def _admit(self) -> None:
        """Make a new revision of a new template; what is refused leaves the older revision as it is."""
        generation = self._service["metadata"].get("generation")
        if generation == self._admitted:
            return
        service, features = self._service, self._cluster.features
        problems = malformed(service) or refusals(service, features) or unsupported(service)
        self._refusal = PodFailure("AdmissionRefused", f"{'; '.join(problems)}.") if problems else None
        template = self._service["spec"].get("template")
        if not problems and (self._latest is None or template != self._latest.template):
            self._latest = Revision(self.namespace, self.name, self._revision_name(), template)
        self._admitted = generation

    def _revision_name(self) -> str:
        """Numbered on; after a restart of the platform, the spec that the last status speaks of keeps its number."""
        last = self._latest.name if self._latest else self._publisher.status.get("latestCreatedRevisionName", "")
        digits = last.rpartition("-")[2]
        number = int(digits) if digits.isdecimal() else 0
        known = self._publisher.status.get("observedGeneration") == self._service["metadata"].get("generation")
        same = self._latest is None and number > 0 and known
        return f"{self.name}-{number if same else number + 1:05}"

    def _wanted(self, revision: Revision, now: float) -> bool:
        """A new revision runs until it was ready once; then it may idle away. One that fails is tried on."""
        if revision is not self._routed or revision.min_scale > 0 or self._waiting:
            return True
        replica = self._replicas.get(revision.name)
        if replica and (replica.in_flight or replica.state.failure):
            return True
        return now < self._last_used + revision.idle_limit

    def _is_ready(self, revision: Revision) -> bool:
        replica = self._replicas.get(revision.name)
        return replica is not None and replica.state.phase is Phase.READY

    def _launch(self, revision: Revision) -> None:
        holder = object()
        node = self._cluster.bind(holder, revision.spec, revision.gpus)
        if isinstance(node, Unschedulable):
            self._unplaced[revision.name] = PodFailure("Unschedulable", node.message)
            return
        self._unplaced.pop(revision.name, None)
        replica = Replica(
            revision, node, self._host, self._client, changed=self.wake, ended=lambda: self._cluster.release(holder)
        )
        self._replicas[revision.name] = replica
        replica.start()

    def _leave(self, name: str, now: float) -> None:
        replica = self._replicas.pop(name)
        self._leaving[replica] = now + replica.revision.timeout

    def _dismiss(self, now: float) -> None:
        for replica, latest in list(self._leaving.items()):
            if replica.state.phase is Phase.STOPPED:
                del self._leaving[replica]
            elif not replica.in_flight or now >= latest:
                replica.stop()

    def _next_look(self, now: float) -> float | None:
        """Seconds until time alone changes something: a Service becomes idle, a leaving replica's grace ends."""
        times = list(self._leaving.values())
        if (revision := self._routed) and not revision.min_scale:
            replica = self._replicas.get(revision.name)
            busy = self._waiting or (replica and replica.in_flight)
            if replica or revision.name in self._unplaced:
                times.append((now if busy else self._last_used) + revision.idle_limit)
        future = [moment - now for moment in times if moment > now]
        return min(future) + 0.01 if future else None

    def _progress(self) -> Progress:
        return Progress(
            name=self.name,
            generation=self._service["metadata"].get("generation", 1),
            url=self._url,
            created=self._latest.name if self._latest else None,
            ready=self._routed.name if self._routed else None,
            refusal=self._refusal,
            failure=self._failure_of(self._latest) if self._latest else None,
            versions=tuple(map(self._version, self._current().values())),
        )

    def _version(self, revision: Revision) -> Version:
        was_ready = revision is self._routed
        if self._is_ready(revision):
            activity = Activity.ACTIVE
        elif revision.name in self._replicas or revision.name in self._unplaced:
            activity = Activity.QUEUED if was_ready else Activity.DEPLOYING
        else:
            activity = Activity.AT_ZERO
        return Version(revision, activity, was_ready, self._failure_of(revision))

    def _describe(self) -> str:
        failure = self._refusal or (self._failure_of(self._latest) if self._latest else None)
        if failure in self._unplaced.values():
            return f"Waiting: {failure}"
        if failure:
            return f"Failed: {failure}"
        if self._latest is not self._routed:
            return "Deploying"
        return "Ready" if self._replicas else "Scaled to zero"
