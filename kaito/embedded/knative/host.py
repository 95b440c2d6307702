"""What the one machine below gives to every pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from kaito.embedded.error import EmbeddedError
from kaito.embedded.process import ProcessTable
from kaito.runtime.kube import Kube

#: What the NVIDIA driver makes where there is a GPU that a process can use.
NVIDIA: Final = Path("/dev/nvidiactl")


class ImageError(EmbeddedError):
    """An image could not be pulled; the message says why."""


class Images(Protocol):
    """The content of volume images on this machine."""

    def missing(self, image: str) -> str | None:
        """Why it cannot be had here, whatever is tried, and what to do: a sentence for a status, without its full
        stop."""

    def content(self, image: str, credentials: Sequence[bytes]) -> Path:
        """The directory that holds the image's files, pulled if need be; ``credentials`` are .dockerconfigjson files.

        Raises ImageError.
        """


@dataclass(frozen=True, slots=True)
class Host:
    """``kubeconfig`` is the platform's own; ``directory`` holds the pods' directories, ``volumes`` what outlives
    them."""

    kube: Kube
    kubeconfig: Path
    processes: ProcessTable
    directory: Path
    volumes: Path
    images: Images
    gpu_device: Path
