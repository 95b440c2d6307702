"""A repository of a registry that an image goes to: blobs that it has are not sent, what breaks off is sent anew."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import structlog

from oci.access import TRIES, Access, Passing, RegistryError, passes, wait

#: How a registry calls what was lost or changed on its way, or what one of its replicas does not know yet.
_LOST: Final = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}
_TIMEOUT: Final = (10, 300)  # seconds to connect, and for the registry to put a blob where it belongs
_MOST_WORDS: Final = 600  # characters: kubelet keeps 4096 bytes of a container's last words
_SECRET: Final = "tuning.output.imagePushSecret"  # noqa: S105 - the name of a field
_log = structlog.get_logger()
_Result = TypeVar("_Result")
#: Told how many bytes of a blob have been sent in all.
Sent = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Blob:
    file: Path
    digest: str


class Destination(Access):
    """One that images are pushed to, by their tag."""

    def __init__(self, reference: str, credentials: Sequence[Path] = (), *, plain_http: bool = False) -> None:
        if "@" in reference:
            raise RegistryError(f"{reference!r} names a digest: an image is pushed to a tag.")
        super().__init__(reference, credentials, plain_http=plain_http)

    def put(self, blob: Blob, sent: Sent) -> None:
        """Into the repository, where it is not there already. Raises RegistryError, Passing where that helps."""
        if self._has(blob):
            return
        begun = self._taken(self.answer("POST", "blobs/uploads/"))
        where = urlsplit(urljoin(self.url, begun.headers.get("Location", "")))
        headers = {"Content-Type": "application/octet-stream"}
        if where.netloc == self.host:  # the secret is for nobody else, nor in the clear
            where = where._replace(scheme=urlsplit(self.url).scheme)
            headers |= self.authorization()
        with _Told(blob.file, sent) as body, self.reachable():
            ended = self.session.put(
                where.geturl(), params={"digest": blob.digest}, data=body, headers=headers, timeout=_TIMEOUT
            )
        self._taken(ended)

    def check(self) -> None:
        """That an upload may begin; it is given up. Raises as ``put``."""
        begun = self._taken(self.answer("POST", "blobs/uploads/"))
        where = urlsplit(urljoin(self.url, begun.headers.get("Location", "")))
        if where.netloc == self.host:
            with contextlib.suppress(requests.RequestException):  # the registry forgets it by itself, later
                self.session.delete(where.geturl(), headers=self.authorization())

    def tag(self, manifest: bytes, kind: str) -> str:
        """The digest of the ``manifest``, by which it has been read back. Raises as ``put``."""
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        self._taken(self.answer("PUT", f"manifests/{self.container.tag}", {"Content-Type": kind}, manifest))
        found = self.answer("GET", f"manifests/{digest}", {"Accept": kind})
        if not found.ok or found.content != manifest:
            raise Passing(f"{self.host} has taken {self.reference}, and answers with another for {digest}.")
        return digest

    def refused(self, answer: requests.Response | None, /) -> str:
        words = _words(answer)
        if self.user is None:
            return (
                f"{self.host} asks who pushes {self.reference}, and no push secret is for it: {words}. "
                f"Name one in {_SECRET}."
            )
        return (
            f"{self.host} refuses {self.reference} to the user of its push secret: {words}. "
            f"Check {_SECRET}, and that its user may push to {self.container.api_prefix}."
        )

    def _has(self, blob: Blob) -> bool:
        """A refusal is for the next request to tell, which has words."""
        answer = self.answer("HEAD", f"blobs/{blob.digest}")
        if passes(answer):
            raise self.passing(answer)
        return answer.ok

    def _taken(self, answer: requests.Response) -> requests.Response:
        if answer.ok:
            return answer
        if passes(answer):
            raise self.passing(answer)
        if answer.status_code in (401, 403):
            raise RegistryError(self.refused(answer))
        words = _words(answer)
        if _LOST & {str(error.get("code")) for error in _errors(answer)}:
            raise Passing(f"{self.host} has lost a part of {self.reference}: {words}.")
        raise RegistryError(
            f"{self.host} does not take {self.reference}: {words}. "
            f"Check tuning.output.image, and the repository's rights and limits."
        )


def again(step: Callable[[], _Result]) -> _Result:
    """``step`` until nothing is in its way that passes; after some tries Passing is raised."""
    for number in range(1, TRIES):
        try:
            return step()
        except Passing as error:
            _log.warning("push.again", tried=number, error=str(error))
            wait(number, error.after)
    return step()


class _Told(io.BufferedReader):
    """A file that tells how far it has been read."""

    def __init__(self, file: Path, sent: Sent) -> None:
        super().__init__(io.FileIO(file))
        self._sent = sent

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._sent(self.tell())
        return content


def _words(answer: requests.Response | None) -> str:
    """The registry's own, after the status."""
    if answer is None:
        return "it does not say why"
    said = [f"{error.get('code', '')} {error.get('message', '')}".strip() for error in _errors(answer)]
    return ": ".join((f"{answer.status_code} {answer.reason}", *filter(None, said)))[:_MOST_WORDS]


def _errors(answer: requests.Response) -> list[dict[str, Any]]:
    try:
        content = answer.json()
    except ValueError:
        return []
    errors = content.get("errors") if isinstance(content, dict) else None
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
