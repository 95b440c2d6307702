"""The images that the cluster runs, made on this machine: of static programs, of Dockerfiles, of a model's weights.

Each has a key that changes with whatever it is made of, so that only what changed is made and loaded again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from kaito.embedded.models import SMOLLM2, ModelStore
from kaito.embedded.programs import Program, fetch
from tests.cluster import archive, buildah, dockerfiles, knative
from tests.cluster.programs import COREDNS, component

#: As in settings/containerd.toml.
PAUSE: Final = "dev.local/kaito/pause:1"

#: Told, in a few words, what is going on.
Report = Callable[[str], None]


class ImageError(EmbeddedError):
    """An image cannot be made; the message says what failed."""


@dataclass(frozen=True, slots=True)
class Image:
    """``send`` writes the archive to load it from, without the blobs whose digests the reader has already."""

    reference: str
    key: str
    send: Callable[[IO[bytes], Container[str]], None]


def prepare(report: Report) -> list[Image]:
    """All images of the cluster, with everything at hand that they are made of; raises EmbeddedError."""
    programs = {COREDNS: f"dev.local/kaito/coredns:{COREDNS.version}"}
    programs |= {component(package): reference for package, reference in knative.IMAGES.items()}
    built = fetch(list(programs), lambda name, what: report(f"{name}: {what}"))
    return [
        _pause(),
        *(_program(program, built[program], reference) for program, reference in programs.items()),
        *(_dockerfile(name, report) for name in dockerfiles.NAMES),
        _model(report),
    ]


def _program(program: Program, binary: Path, reference: str) -> Image:
    inside = f"usr/bin/{program.name}"
    return Image(reference, program.built.parent.name, _files(reference, {inside: binary}, f"/{inside}"))


def _pause() -> Image:
    """What holds a pod's namespaces while its containers come and go: a static program of the machine's own."""
    program = shutil.which("catatonit")
    if program is None:
        raise ImageError("catatonit is not here: install it with this machine's package manager")
    inside = "usr/bin/catatonit"
    key = hashlib.sha256(Path(program).read_bytes()).hexdigest()[:24]
    return Image(PAUSE, key, _files(PAUSE, {inside: Path(program)}, f"/{inside}", "-P"))


def _dockerfile(name: str, report: Report) -> Image:
    reference = f"dev.local/kaito/{name}:0.1.0"

    def send(out: IO[bytes], present: Container[str]) -> None:
        dockerfiles.build(name, reference, report)
        buildah.send(reference, out, present)

    return Image(reference, dockerfiles.key(name), send)


def _model(report: Report) -> Image:
    store = ModelStore(cache_dir())
    store.prepare(lambda stage, _done, _all: report(stage))
    content = store.resolve(SMOLLM2.image)
    assert content is not None, "prepared just now"
    reference = f"docker.io/{SMOLLM2.image}"  # containerd knows every image by its full name
    return Image(reference, content.name, _files(reference, {"weights": content / "weights"}))


def _files(reference: str, files: Mapping[str, Path], *entrypoint: str) -> Callable[[IO[bytes], Container[str]], None]:
    def send(out: IO[bytes], _present: Container[str]) -> None:
        archive.write(out, reference, files, entrypoint)

    return send
