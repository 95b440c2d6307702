"""What the one machine below gives to every pod."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube

#: What the NVIDIA driver makes where there is a GPU that a process can use.
NVIDIA: Final = Path("/dev/nvidiactl")


class Images(Protocol):
    """The content of volume images on this machine."""

    def resolve(self, image: str) -> Path | None:
        """The directory that holds the image's files, None where this machine has none of it."""

    def missing(self, image: str) -> str:
        """Why ``resolve`` gives None and what to do: a sentence for a status, without its full stop."""


@dataclass(frozen=True, slots=True)
class Host:
    """``kubeconfig`` is the platform's own, ``directory`` holds the pods' directories."""

    kube: Kube
    kubeconfig: Path
    processes: ProcessTable
    directory: Path
    images: Images
    gpu_device: Path
