"""The platform: control plane, Knative's part, events and our functions, started in the order in which they need each
other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import structlog

import presets
from eventing.dispatch import NoObserver, Observer
from kaito.api.resources import BROKER, KNATIVE_SERVICE, Kind
from kaito.embedded import manifests, programs
from kaito.embedded.arm.azure import Azure
from kaito.embedded.cache import cache_dir
from kaito.embedded.controlplane import ControlPlane
from kaito.embedded.error import EmbeddedError
from kaito.embedded.faults import Faults, FaultyTransport
from kaito.embedded.images import ImageStore
from kaito.embedded.knative.proxy import FrontProxy
from kaito.embedded.knative.route import RouteError
from kaito.embedded.knative.runner import Runner
from kaito.embedded.knative.transport import ServiceTransport
from kaito.embedded.models import ModelStore
from kaito.embedded.process import ProcessTable
from kaito.embedded.recordings import recorded
from kaito.embedded.site import LOOPBACK, Site
from kaito.embedded.wiring import Wiring
from kaito.runtime import announcer
from kaito.runtime.kube import Kube

SYSTEM_NAMESPACE: Final = "kaito-system"
#: As config/eventing names it.
_BROKER: Final = {"apiVersion": BROKER.api_version, "kind": BROKER.kind, "name": "kaito"}
_FUNCTIONS_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05

Progress = Callable[[str], None]
log = structlog.get_logger()


class PlatformError(EmbeddedError):
    """The platform is not what it should be; the message says what to do."""


class Platform:
    """One platform in ``directory``; ``observer`` sees every event and delivery.

    ``azure``: whose agent pools are the nodes, instead of the local cloud's Node objects.
    ``runs``: the namespace whose Services are run, where something else stands in for the others'; None for all.
    ``faults``: what goes wrong with the events for the functions, and on purpose. ``records``: what the functions do is
    recorded in the directory.
    """

    def __init__(
        self,
        directory: Path,
        *,
        observer: Observer | None = None,
        overlay: Path | None = None,
        site: Site = LOOPBACK,
        azure: Azure | None = None,
        runs: str | None = None,
        faults: Faults | None = None,
        records: bool = True,
    ) -> None:
        self.directory, self._faults, self._records = directory, faults, records
        self._site, self._runs = site, runs
        self._observer, self._azure = observer or NoObserver(), azure
        self._overlay = overlay or manifests.CONFIG / "overlays" / ("arm" if azure else "embedded")
        self._stack = contextlib.ExitStack()

    def start(self, progress: Progress = lambda _: None) -> None:
        """Start everything and return when the functions are ready. Raises EmbeddedError; then nothing of it runs."""
        with contextlib.ExitStack() as stack:
            self._start(stack, progress)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop everything, in the opposite order; state stays in the directory."""
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack, progress: Progress) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.programs = programs.prepare(lambda name, what: progress(f"{name}: {what}"))
        objects = manifests.build(self.programs.kubectl, self._overlay)
        if self._records:
            objects = recorded(objects, self.directory)
        if self._azure:
            objects = manifests.with_environment(objects, self._azure.environment, "kaito-provisioner")
        self.control_plane = ControlPlane(self.directory, self.programs, self._site)
        self.control_plane.start(progress, lambda kube: manifests.install_crds(kube, objects))
        stack.callback(self.control_plane.stop)
        self.kube = self.control_plane.kube()

        progress("starting the front proxy, the runner and the event broker")
        proxy = self._proxy()
        stack.callback(proxy.stop)
        self.port = proxy.port
        runner = Runner(
            self.kube,
            kubeconfig=self.kubeconfig,
            processes=ProcessTable(self.directory),
            directory=self.directory / "pods",
            route_port=proxy.port,
            images=ImageStore(ModelStore(cache_dir()), cache_dir() / "images"),
            namespace=self._runs,
            on_change=_log_service,
        )
        proxy.start(runner)

        if self._azure:
            progress("starting the emulated Azure")
            self._azure.start(self.kube, presets.load())
            stack.callback(self._azure.stop)
        stack.callback(runner.stop)
        services = FaultyTransport(runner.acquire, self._faults) if self._faults else ServiceTransport(runner.acquire)
        wiring = Wiring(self.kube, self._kube_as, services, self._observer)
        stack.callback(wiring.stop)
        progress("installing the manifests under config/")
        sink = wiring.resolve({"ref": _BROKER}, SYSTEM_NAMESPACE)
        manifests.install(self.kube, manifests.with_environment(objects, {announcer.VARIABLE: sink}))
        runner.start()
        progress("starting the functions")
        functions = [obj["metadata"]["name"] for obj in objects if Kind.of(obj) == KNATIVE_SERVICE]
        if problems := wait_running(runner.acquire, functions, _FUNCTIONS_SECONDS):
            said = "; ".join(f"function {name} is not ready: {problem}" for name, problem in sorted(problems.items()))
            raise PlatformError(f"after {_FUNCTIONS_SECONDS:.0f} s, {said}; the logs are in {self.directory / 'logs'}")
        wiring.start()

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane.kubeconfig

    def route(self, namespace: str, name: str) -> str:
        """Where a Knative Service answers; curl and browsers know that \\*.localhost is this machine."""
        return f"http://{name}.{namespace}.localhost:{self.port}"

    def _kube_as(self, user: str) -> Kube:
        return Kube.from_kubeconfig(self.kubeconfig, impersonate=user)

    def _proxy(self) -> FrontProxy:
        """On the port of the last time, if nobody has taken it, so that routes stay good."""
        file = self.directory / "route-port"
        with contextlib.suppress(OSError, ValueError):
            return FrontProxy(int(file.read_text()))
        proxy = FrontProxy()
        file.write_text(str(proxy.port))
        return proxy


def wait_running(
    acquire: Callable[[str, str], AbstractContextManager[object]], names: Collection[str], seconds: float
) -> dict[str, str]:
    """Wait until each Service has a replica that takes requests; why not, by name, for those that have none in time.

    What the API server says of them may be of the last run of the platform.
    """
    problems = dict.fromkeys(names, "no replica was ready")
    over = threading.Event()

    def ask(name: str) -> None:
        while not over.is_set():
            try:
                with acquire(SYSTEM_NAMESPACE, name):
                    del problems[name]
                    return
            except RouteError as error:
                problems[name] = str(error)
            over.wait(_POLL_SECONDS)

    # A request may wait longer than we do; it ends with the runner at the latest.
    askers = [threading.Thread(target=ask, args=(name,), name=f"wait for {name}", daemon=True) for name in names]
    deadline = time.monotonic() + seconds
    for asker in askers:
        asker.start()
    try:
        for asker in askers:
            asker.join(max(0.0, deadline - time.monotonic()))
    finally:
        over.set()
    return dict(problems)


def _log_service(namespace: str, name: str, state: str) -> None:
    log.info("service", service=f"{namespace}/{name}", state=state)
