"""A repository of a registry: its manifests and blobs, each checked by its digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
import structlog

from oci.access import TRIES, Access, RegistryError, plain, wait

#: What a registry may know a manifest as.
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_TITLE: Final = "org.opencontainers.image.title"
_CHUNK: Final = 1 << 16  # bytes; what came of one is lost where the line breaks
_log = structlog.get_logger()
#: Told how many bytes have come.
Arrived = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """``size`` in bytes; ``title`` is what the file is called that is one, empty where nobody says."""

    digest: str
    size: int
    title: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``digest`` is its own, by which it can be had again."""

    digest: str
    layers: tuple[Layer, ...]


class Repository(Access):
    """One whose images are pulled."""

    def manifest(self) -> Manifest:
        """The image's; of several platforms this machine's, or the first where it has none. Raises RegistryError."""
        named = self.container.digest or self.container.tag
        digest, content = self._get(named)
        if "manifests" in content:
            digest, content = self._get(_fitting(content["manifests"]))
        layers = tuple(
            Layer(str(it["digest"]), int(it["size"]), str((it.get("annotations") or {}).get(_TITLE, "")))
            for it in content.get("layers") or ()
        )
        return Manifest(digest, layers)

    def fetch(self, layer: Layer, file: Path, arrived: Arrived) -> None:
        """The blob into ``file``, resumed where the line breaks. Raises RegistryError."""
        for number in range(1, TRIES + 1):
            try:
                self._append(layer, file, arrived)
            except (requests.RequestException, OSError) as error:
                if number == TRIES:
                    raise RegistryError(
                        f"{layer.digest} of {self.reference} broke off {number} times: {plain(error)}."
                    ) from error
                _log.warning("pull.resumed", layer=layer.digest, at=file.stat().st_size if file.exists() else 0)
                wait(number)
            else:
                break
        _check(f"layer {layer.digest} of {self.reference}", layer.digest, _digest(layer.digest, file))

    def _append(self, layer: Layer, file: Path, arrived: Arrived) -> None:
        have = file.stat().st_size if file.exists() else 0
        if have == layer.size and have:
            return
        said = {"Range": f"bytes={have}-"} if have else {}
        with self._ask(f"blobs/{layer.digest}", said, stream=True) as answer:
            if answer.status_code != requests.codes.partial_content:  # from the beginning, whatever was asked
                have = 0
            with file.open("ab" if have else "wb") as out:
                for chunk in answer.iter_content(_CHUNK):
                    out.write(chunk)
                    have += len(chunk)
                    if have > layer.size:
                        raise RegistryError(f"{layer.digest} of {self.reference} is larger than it is said to be.")
                    arrived(len(chunk))
        if have < layer.size:
            raise requests.ConnectionError(f"{have} of {layer.size} bytes came")

    def _get(self, name: str) -> tuple[str, dict[str, Any]]:
        answer = self._ask(f"manifests/{name}", {"Accept": ", ".join((*_MANIFESTS, *_INDEXES))})
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        if name.startswith("sha256:"):
            _check(f"the manifest of {self.reference}", name, digest)
        try:
            content = answer.json()
        except ValueError as error:
            raise RegistryError(f"{self.url} answers for {self.reference} with what is no manifest.") from error
        if not isinstance(content, dict) or ("layers" not in content and "manifests" not in content):
            raise RegistryError(f"{self.reference} is of a kind that is not known here: it has no layers.")
        return digest, content

    def _ask(self, path: str, headers: dict[str, str], *, stream: bool = False) -> requests.Response:
        answer = self.answer("GET", path, headers, stream=stream)
        if answer.ok:
            return answer
        answer.close()
        if answer.status_code in (401, 403):
            raise RegistryError(self.refused(answer))
        if answer.status_code == requests.codes.not_found:
            raise RegistryError(f"There is no {self.reference}: the registry has nothing by that name.")
        raise RegistryError(f"The registry answers {answer.status_code} {answer.reason} for {self.reference}.")


def _fitting(manifests: Sequence[dict[str, Any]]) -> str:
    """The digest of this machine's among several; what is known for no platform (attestations) is not an image."""
    machine = _machine()
    images = [it for it in manifests if (it.get("platform") or {}).get("os") != "unknown"]
    mine = [it for it in images if (it.get("platform") or {}).get("architecture") == machine]
    if not images:
        raise RegistryError("The index lists no image.")
    return str((mine or images)[0]["digest"])


def _machine() -> str:
    """This machine's architecture, as Go calls it."""
    return _MACHINES.get(os.uname().machine, os.uname().machine)


def _digest(like: str, file: Path) -> str:
    """Of the file, by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    if algorithm not in ("sha256", "sha512"):
        raise RegistryError(f"Digests by {algorithm} are not known here.")
    with file.open("rb") as content:
        return f"{algorithm}:{hashlib.file_digest(content, algorithm).hexdigest()}"


def _check(what: str, expected: str, found: str) -> None:
    if found != expected:
        raise RegistryError(
            f"What came for {what} is {found}: it has been changed on its way, or the registry is broken."
        )
