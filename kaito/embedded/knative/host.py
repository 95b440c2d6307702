"""What the one machine below gives to every pod."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube


@dataclass(frozen=True, slots=True)
class Host:
    """``kubeconfig`` is the platform's own, ``directory`` holds the pods' directories.

    ``resolve_image`` gives the directory that holds a volume image's files on this machine, or None where it has none.
    """

    kube: Kube
    kubeconfig: Path
    processes: ProcessTable
    directory: Path
    resolve_image: Callable[[str], Path | None]
    #: What the NVIDIA driver makes where there is a GPU that a process can use.
    gpu_device: Path = Path("/dev/nvidiactl")
