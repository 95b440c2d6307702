"""The official Kubernetes release archive, and the programs in it."""

from __future__ import annotations

import hashlib
import platform
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx

_TIMEOUT: Final = httpx.Timeout(20, connect=3)
_MEGABYTE: Final = 10**6


@dataclass(frozen=True, slots=True)
class Archive:
    """A release's version, its .tar.gz and the checksum that must have."""

    version: str
    url: str
    sha512: str

    @property
    def key(self) -> str:
        """The name of the cache directory that holds its programs: another pin is another place."""
        return f"kubernetes-{self.version}-release-{self.sha512[:12]}"


class ArchiveError(Exception):
    """The archive cannot be had here, or is not the one that was asked for."""


_VERSION: Final = "v1.36.0"
#: By sys.platform and platform.machine(). Checksums: the release's CHANGELOG-1.36.md, "Server Binaries".
KUBERNETES: Final = {
    ("linux", "x86_64"): Archive(
        _VERSION,
        f"https://dl.k8s.io/{_VERSION}/kubernetes-server-linux-amd64.tar.gz",
        "1c64da92575451c2c7ff97c79b772e603995f8e76da1371a6b0746aaa27b65dc"
        "e81c4d734cbb50f40e71486a8e08df36f14e12974f97d4d29e41f23a172a6a25",
    ),
    ("linux", "aarch64"): Archive(
        _VERSION,
        f"https://dl.k8s.io/{_VERSION}/kubernetes-server-linux-arm64.tar.gz",
        "7f95e451baedd9368a2fa637afa84c9ed1b958736540ca27a379e5e292e1a10c"
        "5d9a29539f833047574bf5d3b6f907f32dee5735acecc11aa4686f078108dcf8",
    ),
}


def kubernetes_for_this_machine() -> Archive | None:
    """The archive with programs that run here, None where there is none."""
    return KUBERNETES.get((sys.platform, platform.machine()))


def fetch(archive: Archive, wanted: Mapping[str, Path], report: Callable[[str], None]) -> None:
    """Put the archive's members at the paths of ``wanted``, all in one directory.

    Raises ArchiveError, and then none of them is there. A network that says no is an ArchiveError at once, one that
    says nothing after a few seconds.
    """
    directory = next(iter(wanted.values())).parent
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            _download(archive, file, report)
        except httpx.HTTPError as error:
            raise ArchiveError(f"{archive.url}: {error}") from error
        file.seek(0)
        report("unpacking")
        _unpack(file, wanted)


def _download(archive: Archive, file: IO[bytes], report: Callable[[str], None]) -> None:
    digest = hashlib.sha512()
    with httpx.stream("GET", archive.url, follow_redirects=True, timeout=_TIMEOUT) as answer:
        answer.raise_for_status()
        total = int(answer.headers.get("Content-Length", 0))
        for chunk in answer.iter_bytes():
            file.write(chunk)
            digest.update(chunk)
            report(f"downloading: {file.tell() // _MEGABYTE} of {total // _MEGABYTE} MB")
    if digest.hexdigest() != archive.sha512:
        raise ArchiveError(f"{archive.url}: the checksum is not the pinned one; nothing of it is used")


def _unpack(file: IO[bytes], wanted: Mapping[str, Path]) -> None:
    directory = next(iter(wanted.values())).parent
    with tempfile.TemporaryDirectory(dir=directory, prefix=".unpack-") as scratch:
        unpacked = {}
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            for member in archive:
                if target := wanted.get(member.name):
                    source = archive.extractfile(member)
                    assert source is not None
                    unpacked[target] = Path(scratch) / target.name
                    with source, unpacked[target].open("wb") as program:
                        while block := source.read(_MEGABYTE):
                            program.write(block)
                    unpacked[target].chmod(0o755)
        if missing := set(wanted.values()) - unpacked.keys():
            raise ArchiveError(f"the archive lacks {', '.join(sorted(path.name for path in missing))}")
        for target, path in unpacked.items():
            path.replace(target)
