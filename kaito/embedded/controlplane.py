"""A real Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager as processes.

All of it lives in one directory, so that what was killed goes on from there. On loopback there is no scheduler and no
kubelet: what the embedded platform runs of pods, it runs itself (kaito.embedded.jobs).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from kaito.api.resources import Kind
from kaito.embedded import certificates
from kaito.embedded.error import EmbeddedError
from kaito.embedded.lock import FileLock, LockHeldError
from kaito.embedded.process import Process, ProcessTable
from kaito.embedded.programs import Programs
from kaito.embedded.site import LOOPBACK, Site
from kaito.embedded.supervisor import Supervised
from kaito.runtime.kube import Kube

_ETCD: Final = "etcd"
_APISERVER: Final = "kube-apiserver"
_CONTROLLERS: Final = "kube-controller-manager"
_SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount")
_PORT_TRIES: Final = 3
_PORT_TAKEN: Final = "address already in use"
_READY_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.03


class ControlPlaneError(EmbeddedError):
    """The control plane cannot run; the message says what to do."""


class ControlPlane:
    """One control plane in ``directory``; ``kubeconfig`` is there once it has started.

    Once it serves, whichever process ends is started again, with the same ports and data, until ``stop``. Its state
    stays there too, and its ports while nobody else has taken them.
    """

    def __init__(self, directory: Path, programs: Programs, site: Site = LOOPBACK) -> None:
        self._directory = directory
        self._programs = programs
        self._site = site
        self._lock = FileLock(directory / "lock")
        self._pki = certificates.Certificates(directory / "certificates")
        self._ports: dict[str, int] = {}
        self._running: dict[str, Supervised] = {}
        self.kubeconfig = directory / "kubeconfig"

    def start(
        self,
        progress: Callable[[str], None] = lambda _: None,
        before_controllers: Callable[[Kube], None] = lambda _: None,
    ) -> None:
        """Start and return when it serves; raises ControlPlaneError, and then nothing of it runs.

        ``before_controllers`` is the place to install CRDs and wait until they are served: the garbage
        collector looks for new kinds every 30 s only, and until then deletes nothing that is of or owned by one.
        """
        try:
            self._lock.acquire()
        except LockHeldError as held:
            raise ControlPlaneError(
                f"a platform runs in {self._directory} already (process {held.pid}): "
                "stop it with `kaito down`, or use another directory"
            ) from held
        try:
            self._start_on_free_ports(progress, before_controllers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all of it; nothing happens where nothing runs."""
        self._end_all()
        self._lock.release()

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again on its port, as after a crash: for tests."""
        self._running[_APISERVER].restart()
        self._wait(_APISERVER, self.kube().probe)

    @property
    def server(self) -> str:
        """The API server's URL, once it has started."""
        return self._url(_APISERVER)

    def kube(self) -> Kube:
        """A connection as the administrator."""
        return Kube.from_kubeconfig(self.kubeconfig)

    def _start_on_free_ports(self, progress: Callable[[str], None], before_controllers: Callable[[Kube], None]) -> None:
        """Between choosing a port and listening on it another process may take it: then others are chosen."""
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                self._start(progress, before_controllers)
            except ControlPlaneError as error:
                if tries_left == 0 or _PORT_TAKEN not in str(error):
                    raise
                self._end_all()
                (self._directory / "ports.json").unlink(missing_ok=True)
            else:
                return

    def _end_all(self) -> None:
        # Etcd last: the others would spend their end on looking for it.
        for name in (_CONTROLLERS, _APISERVER, _ETCD):
            if child := self._running.pop(name, None):
                child.stop()

    def _start(self, progress: Callable[[str], None], before_controllers: Callable[[Kube], None]) -> None:
        self._table = ProcessTable(self._directory)
        if ended := self._table.end_leftovers():
            progress(f"ended {len(ended)} processes that a killed platform had left")
        certificates.ensure(self._pki.directory, identities=self._site.identities, hosts=self._site.hosts)
        self._ports = _ports(self._directory / "ports.json")
        certificates.write_kubeconfig(self.kubeconfig, self.server, self._pki, "admin")
        certificates.write_kubeconfig(self._controllers_kubeconfig, self.server, self._pki, "controller-manager")

        progress("starting etcd and kube-apiserver")
        self._start_etcd()
        self._start_apiserver()
        kube = self.kube()
        self._wait(_APISERVER, kube.probe)
        before_controllers(kube)
        progress("starting kube-controller-manager")
        self._start_controllers()
        self._wait(_CONTROLLERS, self._controllers_run)
        self._wait(_CONTROLLERS, lambda: kube.get(_SERVICE_ACCOUNT, "default", "default") is not None)
        for child in self._running.values():
            child.watch()

    def _start_etcd(self) -> None:
        pki = self._pki
        self._run(
            _ETCD,
            self._programs.etcd,
            {
                "data-dir": self._directory / "etcd",
                "listen-client-urls": self._url(_ETCD),
                "advertise-client-urls": self._url(_ETCD),
                "client-cert-auth": "true",
                "trusted-ca-file": pki.ca,
                "cert-file": pki.certificate("server"),
                "key-file": pki.key("server"),
                # There are no peers, but etcd always listens for them: on any port, and to nobody else.
                "listen-peer-urls": "https://127.0.0.1:0",
                "peer-client-cert-auth": "true",
                "peer-trusted-ca-file": pki.ca,
                "peer-cert-file": pki.certificate("server"),
                "peer-key-file": pki.key("server"),
                # A machine that crashes may lose the last writes; a killed platform loses none.
                "unsafe-no-fsync": "true",
                "quota-backend-bytes": 512 * 2**20,
                # The only member need not wait for others' votes.
                "heartbeat-interval": 10,
                "election-timeout": 100,
                "log-level": "warn",
            },
        )

    def _start_apiserver(self) -> None:
        pki = self._pki
        self._run(
            _APISERVER,
            self._programs.kube_apiserver,
            {
                "bind-address": self._site.address,
                "advertise-address": self._site.address,
                "secure-port": self._ports[_APISERVER],
                "etcd-servers": self._url(_ETCD),
                "etcd-cafile": pki.ca,
                "etcd-certfile": pki.certificate("etcd-client"),
                "etcd-keyfile": pki.key("etcd-client"),
                "cert-dir": self._directory / "apiserver",
                "tls-cert-file": pki.certificate("server"),
                "tls-private-key-file": pki.key("server"),
                "client-ca-file": pki.ca,
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": pki.service_account_verifier,
                "service-account-signing-key-file": pki.service_account_signer,
                "service-cluster-ip-range": "10.96.0.0/16",
                "enable-priority-and-fairness": "false",
                "profiling": "false",
                **self._site.apiserver,
            },
        )

    def _start_controllers(self) -> None:
        pki = self._pki
        self._run(
            _CONTROLLERS,
            self._programs.kube_controller_manager,
            {
                "kubeconfig": self._controllers_kubeconfig,
                "use-service-account-credentials": "true",
                "service-account-private-key-file": pki.service_account_signer,
                "root-ca-file": pki.ca,
                "leader-elect": "false",
                "bind-address": "127.0.0.1",
                "secure-port": self._ports[_CONTROLLERS],
                "tls-cert-file": pki.certificate("server"),
                "tls-private-key-file": pki.key("server"),
                "kube-api-qps": 200,
                "kube-api-burst": 400,
                "profiling": "false",
                **self._site.controllers,
            },
        )

    def _run(self, name: str, program: Path, flags: dict[str, object]) -> None:
        argv = [str(program), *(f"--{flag}={value}" for flag, value in flags.items())]
        self._running[name] = Supervised(lambda: self._table.start(name, argv))

    def _url(self, name: str) -> str:
        address = self._site.address if name == _APISERVER else "127.0.0.1"
        return f"https://{address}:{self._ports[name]}"

    @property
    def _controllers_kubeconfig(self) -> Path:
        return self._directory / "controllers.kubeconfig"

    def _controllers_run(self) -> bool:
        """Has the garbage collector, which starts among the last, added its check to the health report?"""
        trusted = ssl.create_default_context(cafile=self._pki.ca)
        try:
            with httpx.Client(verify=trusted, trust_env=False) as client:
                answer = client.get(self._url(_CONTROLLERS) + "/healthz", params={"verbose": ""})
        except httpx.TransportError:
            return False
        return answer.is_success and "[+]garbage-collector-controller ok" in answer.text

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Poll ``ready``; raises with the log's tail of what ended for good, or of ``name`` when time is up."""
        never, deadline = threading.Event(), time.monotonic() + _READY_SECONDS
        while not ready():
            for ended, child in self._running.items():
                if (code := child.ended) is not None:
                    raise ControlPlaneError(f"{ended} ended with exit code {code}. {_log_end(child.process)}")
            if time.monotonic() > deadline:
                raise ControlPlaneError(
                    f"{name} is not ready after {_READY_SECONDS:.0f} s; is this machine very busy? "
                    + _log_end(self._running[name].process)
                )
            never.wait(_POLL_SECONDS)


def _log_end(process: Process) -> str:
    return f"The end of its log, {process.log}:\n{process.tail()}"


def _ports(file: Path) -> dict[str, int]:
    """The ports of the last time where they are free still, so that kubeconfigs stay good; else new ones."""
    kept: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        kept = {name: int(port) for name, port in json.loads(file.read_text()).items()}
    with contextlib.ExitStack() as taken:  # all bound until all are chosen: no port twice
        ports = {}
        for name in (_ETCD, _APISERVER, _CONTROLLERS):
            ports[name] = _bind(taken, kept.get(name, 0)) or _bind(taken, 0)
    file.write_text(json.dumps(ports))
    return ports


def _bind(taken: contextlib.ExitStack, port: int) -> int:
    """The port that could be bound, 0 for none."""
    listener = taken.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return 0
    return int(listener.getsockname()[1])
