"""A revision's container as a local process: its own directory, volumes, environment and credentials."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import kaito
from kaito.api.claims import GPU
from kaito.embedded.knative import mounts
from kaito.embedded.knative.config import variables
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.identity import write_kubeconfig
from kaito.embedded.knative.revision import PodFailure, Revision
from kaito.embedded.process import Process

#: What a process needs of the platform's environment; a container would have its image's instead.
_INHERITED: Final = ("LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "PYTHONPATH")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


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
        self.revision, self._host = revision, host
        self._directory = host.directory / revision.namespace / f"{revision.name}-{uuid4().hex[:5]}"
        self._mounts: dict[str, Path] | None = None

    def start(self) -> Container:
        """Make the directory if need be, and start the process. Raises PodFailure and KubeError."""
        if self._mounts is None:
            try:
                self._mounts = self._prepare()
            except OSError as error:
                raise PodFailure("FailedMount", f"its files cannot be written: {error}") from error
        revision, container, port = self.revision, self.revision.container, free_port()
        env = self._environment(port)
        argv = [
            mounts.rewrite(expand(part, env), self._mounts)
            for part in (*container["command"], *(container.get("args") or ()))
        ]
        wanted = Path(mounts.rewrite(container.get("workingDir") or "", self._mounts))
        cwd = wanted if wanted.is_absolute() and wanted.is_dir() else self._directory
        try:
            process = self._host.processes.start(f"{revision.namespace}.{revision.name}", argv, env=env, cwd=cwd)
        except (OSError, ValueError) as error:  # no such program, not one that can be run, or a NUL in a word
            raise PodFailure("RunContainerError", f"cannot run {argv[0]!r}: {error}") from error
        return Container(process, port, env, cwd)

    def local(self, text: str) -> str:
        """``text`` with mount paths made local: for the commands of exec probes."""
        return mounts.rewrite(text, self._mounts or {})

    def remove(self) -> None:
        """Delete the directory; what its links point to stays."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _prepare(self) -> dict[str, Path]:
        self._check_machine()
        self.remove()  # what an attempt that failed half-way has left
        self._directory.mkdir(parents=True)
        account = self.revision.spec.get("serviceAccountName")
        if account:
            host, namespace = self._host, self.revision.namespace
            write_kubeconfig(host.kube, host.kubeconfig, namespace, account, self._kubeconfig)
        return mounts.mount(self.revision, self._host, self._directory / "volumes")

    def _check_machine(self) -> None:
        """Say at once all that this machine lacks, before anything is started."""
        images = self._host.images
        missing = [images.missing(image) for image in mounts.images(self.revision) if images.resolve(image) is None]
        reason = "ImagePullBackOff" if missing else "GpuMissing"
        if self.revision.gpus and not self._host.gpu_device.exists():
            missing.append(
                f"it needs {self.revision.gpus} {GPU} and there is no NVIDIA GPU here: use a cluster that has GPU nodes"
            )
        if missing:
            raise PodFailure(reason, f"This machine cannot run it: {'; '.join(missing)}")

    @property
    def _kubeconfig(self) -> Path:
        return self._directory / "kubeconfig"

    def _environment(self, port: int) -> dict[str, str]:
        """What Knative's runtime contract promises, then the container's own variables."""
        revision, inherited = self.revision, os.environ
        # The source tree, for a checkout that runs without being installed.
        python_path = [str(Path(kaito.__file__).parents[1]), *filter(None, [inherited.get("PYTHONPATH")])]
        env = {
            **{name: inherited[name] for name in _INHERITED if name in inherited},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(python_path),
            # Not the person's home: a function without a service account must not find a kubeconfig there.
            "HOME": str(self._directory),
            "K_SERVICE": revision.service,
            "K_CONFIGURATION": revision.service,
            "K_REVISION": revision.name,
            "HOST": "127.0.0.1",  # a pod has an address of its own; a process must not be reached from elsewhere
            "PORT": str(port),
        }
        if revision.spec.get("serviceAccountName"):
            env["KUBECONFIG"] = str(self._kubeconfig)
        for name, value in variables(self._host.kube, revision.namespace, revision.container):
            env[name] = self.local(expand(value, env))
        return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' ``$(NAME)`` in command, args and env; an unknown name stays as it is, ``$$`` is a dollar."""
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else env.get(m[1], m[0]), text)


def free_port() -> int:
    """A loopback port that nothing listens on now; should another process be faster, the restart takes another."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
