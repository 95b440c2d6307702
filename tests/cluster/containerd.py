"""containerd's images, by its own command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from kaito.embedded.error import EmbeddedError
from kaito.embedded.programs import fetch
from tests.cluster.commands import run
from tests.cluster.images import Image
from tests.cluster.programs import CTR


class NotLoaded(EmbeddedError):
    """containerd does not take an image; the message holds its words."""


class Containerd:
    """The one that answers at ``socket``, in Kubernetes' namespace."""

    def __init__(self, socket: Path) -> None:
        self._ctr = [str(fetch([CTR])[CTR]), "--address", str(socket), "--namespace", "k8s.io"]

    def ctr(self, *words: str) -> str:
        """What ``ctr`` prints; raises CommandError."""
        return run(*self._ctr, *words)

    def load(self, images: Iterable[Image], record: Path, report: Callable[[str], None]) -> None:
        """Give it those that it has not got in their present form, by ``record``; raises NotLoaded."""
        there = set(self.ctr("images", "ls", "-q").split())
        known: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
        for image in images:
            if image.reference in there and known.get(image.reference) == image.key:
                continue
            report(f"loading {image.reference}")
            self._load(image)
            known[image.reference] = image.key
            record.write_text(json.dumps(known))

    def _load(self, image: Image) -> None:
        present = frozenset(self.ctr("content", "ls", "-q").split())
        with subprocess.Popen(
            [*self._ctr, "images", "import", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as loading:
            assert loading.stdin is not None
            assert loading.stderr is not None
            try:
                image.send(loading.stdin, present)
                loading.stdin.close()
            except BrokenPipeError:  # it has said why
                pass
            said = loading.stderr.read().decode(errors="replace")
        if loading.returncode:
            raise NotLoaded(f"containerd does not take {image.reference}: {said.strip()}")
