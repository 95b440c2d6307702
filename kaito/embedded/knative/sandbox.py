"""What every container of a pod has here: a directory, volumes, credentials, and its program as a local process."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kaito
from kaito.api.claims import GPU
from kaito.api.resources import Object
from kaito.embedded.knative import mounts
from kaito.embedded.knative.config import variables
from kaito.embedded.knative.host import Host
from kaito.embedded.knative.identity import write_kubeconfig
from kaito.embedded.knative.revision import PodFailure, gpus_of
from kaito.embedded.process import Process

#: What a process needs of the platform's environment; a container would have its image's instead.
_INHERITED: Final = (
    "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PYTHONPATH",
)  # fmt: skip
#: The reason of what can never be run, whatever else there comes to be.
NOT_RUN: Final = "RunContainerError"
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True, slots=True)
class Started:
    process: Process
    env: Mapping[str, str]
    cwd: Path


class Sandbox:
    """Of a pod with that ``spec``, in ``directory``, which it makes and removes."""

    def __init__(self, namespace: str, spec: Object, host: Host, directory: Path) -> None:
        self.directory = directory
        self._namespace, self._spec, self._host = namespace, spec, host
        self._volumes: dict[str, Path] | None = None

    def prepare(self) -> None:
        """Make the directory and the volumes, unless they are there. Raises PodFailure and KubeError."""
        if self._volumes is not None:
            return
        try:
            self._check_machine()
            self.remove()  # what an attempt that failed half-way has left
            self.directory.mkdir(parents=True)
            account, host = self._spec.get("serviceAccountName"), self._host
            if account and self._spec.get("automountServiceAccountToken") is not False:
                write_kubeconfig(host.kube, host.kubeconfig, self._namespace, account, self._kubeconfig)
            self._volumes = mounts.make(self._spec, self._namespace, host, self.directory / "volumes")
        except OSError as error:
            raise PodFailure("FailedMount", f"its files cannot be written: {error}") from error

    def start(self, container: Object, more: Mapping[str, str], log: str) -> Started:
        """Run the container's program with ``more`` in its environment, and its words in the log of that name.

        Raises PodFailure and KubeError.
        """
        if not container.get("command"):
            raise PodFailure(NOT_RUN, "this machine runs processes, not images: set the container's command")
        at = self._mounted(container)
        env = self._environment(container, more, at)
        argv = [
            mounts.rewrite(expand(part, env), at) for part in (*container["command"], *(container.get("args") or ()))
        ]
        wanted = Path(mounts.rewrite(container.get("workingDir") or "", at))
        cwd = wanted if wanted.is_absolute() and wanted.is_dir() else self.directory
        try:
            process = self._host.processes.start(log, argv, env=env, cwd=cwd)
        except (OSError, ValueError) as error:  # no such program, not one that can be run, or a NUL in a word
            raise PodFailure(NOT_RUN, f"cannot run {argv[0]!r}: {error}") from error
        return Started(process, env, cwd)

    def local(self, container: Object, text: str) -> str:
        """``text`` with mount paths made local: for the commands of exec probes."""
        return mounts.rewrite(text, self._mounted(container))

    def remove(self) -> None:
        """Delete the directory; what its links point to stays."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _mounted(self, container: Object) -> dict[str, Path]:
        return mounts.of(container, self._volumes or {})

    def _check_machine(self) -> None:
        """Say at once all that this machine lacks, before anything is started."""
        images, gpus = self._host.images, gpus_of(self._spec)
        missing = [said for image in mounts.images(self._spec) if (said := images.missing(image)) is not None]
        reason = "ImagePullBackOff" if missing else "GpuMissing"
        if gpus and not self._host.gpu_device.exists():
            lacks = f"it needs {gpus} {GPU} and there is no NVIDIA GPU here: use a cluster that has GPU nodes"
            missing.append(f"{lacks}, or the preset smollm2-135m-instruct, which needs none")
        if missing:
            raise PodFailure(reason, f"This machine cannot run it: {'; '.join(missing)}")

    @property
    def _kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def _environment(self, container: Object, more: Mapping[str, str], at: Mapping[str, Path]) -> dict[str, str]:
        """The platform's, then the container's own variables."""
        inherited = os.environ
        # The source tree, for a checkout that runs without being installed.
        python_path = [str(Path(kaito.__file__).parents[1]), *filter(None, [inherited.get("PYTHONPATH")])]
        env = {
            **{name: inherited[name] for name in _INHERITED if name in inherited},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(python_path),
            # Not the person's home: a function without a service account must not find a kubeconfig there.
            "HOME": str(self.directory),
            **more,
        }
        if self._kubeconfig.exists():
            env["KUBECONFIG"] = str(self._kubeconfig)
        for name, value in variables(self._host.kube, self._namespace, container):
            env[name] = mounts.rewrite(expand(value, env), at)
        return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' ``$(NAME)`` in command, args and env; an unknown name stays as it is, ``$$`` is a dollar."""
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else env.get(m[1], m[0]), text)
