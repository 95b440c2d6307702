"""A revision's container as a local process, with what Knative's runtime contract promises it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from kaito.embedded.knative.host import Host
from kaito.embedded.knative.revision import Revision
from kaito.embedded.knative.sandbox import Sandbox
from kaito.embedded.process import Process


@dataclass(frozen=True, slots=True)
class Container:
    """The running process; what it listens on is loopback port ``port``."""

    process: Process
    port: int
    env: Mapping[str, str]
    cwd: Path


class ServicePod:
    """One pod: the directory lives as long as it does, the process may be started again in it."""

    def __init__(self, revision: Revision, host: Host) -> None:
        self.revision = revision
        directory = host.directory / revision.namespace / f"{revision.name}-{uuid4().hex[:5]}"
        self._sandbox = Sandbox(revision.namespace, revision.spec, host, directory)

    def start(self) -> Container:
        """Make the directory if need be, and start the process. Raises PodFailure and KubeError."""
        self._sandbox.prepare()
        revision, port = self.revision, free_port()
        promised = {
            "K_SERVICE": revision.service,
            "K_CONFIGURATION": revision.service,
            "K_REVISION": revision.name,
            "HOST": "127.0.0.1",  # a pod has an address of its own; a process must not be reached from elsewhere
            "PORT": str(port),
        }
        started = self._sandbox.start(revision.container, promised, f"{revision.namespace}.{revision.name}")
        return Container(started.process, port, started.env, started.cwd)

    def local(self, text: str) -> str:
        """``text`` with mount paths made local: for the commands of exec probes."""
        return self._sandbox.local(self.revision.container, text)

    def remove(self) -> None:
        """Delete the directory; what its links point to stays."""
        self._sandbox.remove()


def free_port(address: str = "127.0.0.1") -> int:
    """One of this machine's that nothing listens on now; should another process be faster, a restart takes another."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        return int(listener.getsockname()[1])
