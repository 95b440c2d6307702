"""A repository of a registry: its manifests and blobs, each checked by its digest.

oras speaks the registry's protocol and asks for its tokens.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import oras.container
import oras.provider
import requests
import structlog

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
#: Where references without a host lead.
_NOWHERE: Final = "none.invalid"
_CHUNK: Final = 1 << 16  # bytes; what came of one is lost where the line breaks
#: Tries of one blob; and seconds before the second, each further wait being twice as long.
_TRIES, _PAUSE = 5, 1.0
_TIMEOUT: Final = (10, 60)  # seconds to connect, and without a byte
_log = structlog.get_logger()
#: Told how many bytes have come.
Arrived = Callable[[int], None]


class RegistryError(Exception):
    """What is asked for cannot be had; the message is a sentence that says why and what to look at."""


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


class _Session(requests.Session):
    """One that does not wait for ever, which oras leaves to whoever gives it one."""

    def request(self, *args: Any, **more: Any) -> requests.Response:
        more.setdefault("timeout", _TIMEOUT)
        return super().request(*args, **more)


class Repository:
    """The one that ``reference`` names, ``HOST[:PORT]/NAME[:TAG][@DIGEST]``.

    ``credentials`` are files as kubernetes.io/dockerconfigjson Secrets hold them; the first that names the registry
    counts. ``plain_http`` is for a registry without TLS.
    """

    def __init__(self, reference: str, credentials: Sequence[Path] = (), *, plain_http: bool = False) -> None:
        self.reference = reference
        try:
            self._container = oras.container.Container(reference, registry=_NOWHERE)
        except ValueError as error:
            raise RegistryError(f"{reference!r} is no image reference: HOST[:PORT]/NAME[:TAG][@DIGEST].") from error
        host = self._container.registry
        if host == _NOWHERE:
            raise RegistryError(f"{reference!r} names no registry: HOST[:PORT]/NAME[:TAG][@DIGEST].")
        self._user = _user(host, credentials)
        self._url = f"{'http' if plain_http else 'https'}://{host}/v2/"
        session = _Session()
        with self._reachable():
            challenge = session.get(self._url).headers.get("WWW-Authenticate", "").lower()
        if challenge.startswith("basic") and self._user is None:
            raise RegistryError(self._refused())
        backend = "basic" if challenge.startswith("basic") else "token"
        self._client = oras.provider.Registry(auth_backend=backend, insecure=plain_http)
        self._client.session = self._client.auth.session = session
        if self._user is not None:
            self._client.auth.set_basic_auth(*self._user)

    def manifest(self) -> Manifest:
        """The image's; of several platforms this machine's, or the first where it has none. Raises RegistryError."""
        named = self._container.digest or self._container.tag
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
        never = threading.Event()
        for number in range(1, _TRIES + 1):
            try:
                self._append(layer, file, arrived)
            except (requests.RequestException, OSError) as error:
                if number == _TRIES:
                    raise RegistryError(
                        f"{layer.digest} of {self.reference} broke off {number} times: {error}."
                    ) from error
                _log.warning("pull.resumed", layer=layer.digest, at=file.stat().st_size if file.exists() else 0)
                never.wait(_PAUSE * 2 ** (number - 1))
            else:
                break
        _check(f"layer {layer.digest} of {self.reference}", layer.digest, _digest(layer.digest, file))

    def _append(self, layer: Layer, file: Path, arrived: Arrived) -> None:
        have = file.stat().st_size if file.exists() else 0
        if have == layer.size and have:
            return
        said = {"Range": f"bytes={have}-"} if have else {}
        self._client.auth.token = None  # a new one for each: it is good for minutes, and a layer may take hours
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
            raise RegistryError(f"{self._url} answers for {self.reference} with what is no manifest.") from error
        if not isinstance(content, dict) or ("layers" not in content and "manifests" not in content):
            raise RegistryError(f"{self.reference} is of a kind that is not known here: it has no layers.")
        return digest, content

    def _ask(self, path: str, headers: dict[str, str], *, stream: bool = False) -> requests.Response:
        with self._reachable():
            try:
                # Not what oras has around it, which waits two minutes for what no repetition mends.
                answer: requests.Response = self._client.do_request.__wrapped__(
                    self._client, f"{self._url}{self._container.api_prefix}/{path}", headers=headers, stream=stream
                )
            except ValueError as error:  # it asks for a user, and there is none
                raise RegistryError(self._refused()) from error
        if answer.ok:
            return answer
        answer.close()
        if answer.status_code in (401, 403):
            raise RegistryError(self._refused())
        if answer.status_code == requests.codes.not_found:
            raise RegistryError(f"There is no {self.reference}: the registry has nothing by that name.")
        raise RegistryError(f"The registry answers {answer.status_code} {answer.reason} for {self.reference}.")

    def _refused(self) -> str:
        if self._user is None:
            return f"The registry asks who wants {self.reference}, and no pull secret is for it: name one that is."
        return f"The registry refuses {self.reference} to the user of its pull secret."

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as error:
            raise RegistryError(f"The registry of {self.reference} cannot be reached: {error}.") from error


def _user(registry: str, credentials: Sequence[Path]) -> tuple[str, str] | None:
    """Name and password of the first of these files that knows this registry."""
    for file in credentials:
        try:
            auths = json.loads(file.read_text()).get("auths") or {}
            for name, entry in auths.items():
                if name.removeprefix("https://").removeprefix("http://").split("/")[0] == registry:
                    if entry.get("auth"):
                        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
                        return user, password
                    return entry["username"], entry["password"]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise RegistryError(f"{file} is no .dockerconfigjson: {type(error).__name__} {error}.") from error
    return None


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
