"""A repository of a registry, and as whom it is asked.

oras speaks the registry's protocol and asks for its tokens.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import oras.container
import oras.provider
import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

#: Where references without a host lead.
_NOWHERE: Final = "none.invalid"
#: Tries of one thing; and seconds before the second, each further wait being twice as long.
TRIES: Final = 5
_PAUSE: Final = 1.0
#: What a registry may ask for at most, in seconds.
_LONGEST_PAUSE: Final = 60.0
_TIMEOUT: Final = (10, 60)  # seconds to connect, and without a byte
#: What OpenSSL calls it.
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
#: Upload locations and redirects have what opens them there.
_QUERY: Final = re.compile(r"\?[^\s'\")]+")


class RegistryError(Exception):
    """What is asked for cannot be had; the message is a sentence that says why and what to look at."""


class Passing(RegistryError):
    """It may be otherwise in a while: ``after`` so many seconds, where the registry says it."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class _Session(requests.Session):
    """One that does not wait for ever, which oras leaves to whoever gives it one. ``last`` is what came last."""

    last: requests.Response | None = None

    def request(self, *args: Any, **more: Any) -> requests.Response:
        more.setdefault("timeout", _TIMEOUT)
        self.last = None
        self.last = super().request(*args, **more)
        return self.last


class Access:
    """To the repository that ``reference`` names, ``HOST[:PORT]/NAME[:TAG][@DIGEST]``.

    ``credentials`` are files as kubernetes.io/dockerconfigjson Secrets hold them; the first that names the registry
    counts. ``plain_http`` is for a registry without TLS. Raises RegistryError.
    """

    def __init__(self, reference: str, credentials: Sequence[Path] = (), *, plain_http: bool = False) -> None:
        self.reference = reference
        try:
            self.container = oras.container.Container(reference, registry=_NOWHERE)
        except ValueError as error:
            raise RegistryError(f"{reference!r} is no image reference: HOST[:PORT]/NAME[:TAG][@DIGEST].") from error
        self.host = str(self.container.registry)
        if self.host == _NOWHERE:
            raise RegistryError(f"{reference!r} names no registry: HOST[:PORT]/NAME[:TAG][@DIGEST].")
        self.user = _user(self.host, credentials)
        self.url = f"{'http' if plain_http else 'https'}://{self.host}/v2/"
        self.session = _Session()
        with self.reachable():
            greeting = self.session.get(self.url)
        if passes(greeting):
            raise self.passing(greeting)
        challenge = greeting.headers.get("WWW-Authenticate", "").lower()
        if challenge.startswith("basic") and self.user is None:
            raise RegistryError(self.refused(greeting))
        backend = "basic" if challenge.startswith("basic") else "token"
        self._client = oras.provider.Registry(auth_backend=backend, insecure=plain_http)
        self._client.session = self._client.auth.session = self.session
        if self.user is not None:
            self._client.auth.set_basic_auth(*self.user)

    def answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
        *,
        stream: bool = False,
    ) -> requests.Response:
        """Whatever the registry says of that ``path`` of the repository. Raises RegistryError where it says nothing."""
        self._client.auth.token = None  # a new one for each: it is good for minutes, and for what it was asked for
        with self.reachable():
            try:
                # Not what oras has around it, which waits two minutes for what no repetition mends.
                answer: requests.Response = self._client.do_request.__wrapped__(
                    self._client,
                    f"{self.url}{self.container.api_prefix}/{path}",
                    method,
                    data=data,
                    headers=headers or {},
                    stream=stream,
                )
            except requests.RequestException:
                raise
            except (ValueError, AttributeError) as error:  # it asks for a user, and there is none or another
                last = self.session.last
                if last is not None and passes(last):
                    raise self.passing(last) from error
                raise RegistryError(self.refused(last)) from error
        return answer

    def authorization(self) -> dict[str, str]:
        """The headers that the last answer was had with."""
        return dict(self._client.auth.get_auth_header())

    def refused(self, _answer: requests.Response | None, /) -> str:
        """The sentence for whoever asks in vain; the answer is the registry's, or that of where its tokens are."""
        if self.user is None:
            return f"The registry asks who wants {self.reference}, and no pull secret is for it: name one that is."
        return f"The registry refuses {self.reference} to the user of its pull secret."

    def passing(self, answer: requests.Response) -> Passing:
        said = f"The registry answers {answer.status_code} {answer.reason} for {self.reference}."
        try:
            return Passing(said, Retry().parse_retry_after(answer.headers.get("Retry-After", "")))
        except InvalidHeader:
            return Passing(said)

    @contextlib.contextmanager
    def reachable(self) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as error:
            if _UNTRUSTED in str(error):
                raise RegistryError(
                    f"The certificate of {self.reference}'s registry is not trusted here: {plain(error)}. Have its"
                    " authority trusted: an installation names a ConfigMap with all that are, by KAITO_TRUST_BUNDLE."
                ) from error
            raise Passing(f"The registry of {self.reference} cannot be reached: {plain(error)}.") from error


def passes(answer: requests.Response) -> bool:
    """Whether the same request may be answered otherwise in a while."""
    return answer.status_code == requests.codes.too_many_requests or answer.status_code >= 500


def pause(number: int, after: float | None = None) -> float:
    """Seconds to wait after the try of that ``number``, from 1 on; ``after`` is what the registry asks for."""
    return _PAUSE * 2 ** (number - 1) if after is None else min(after, _LONGEST_PAUSE)


def wait(number: int, after: float | None = None) -> None:
    """As long as ``pause`` says."""
    threading.Event().wait(pause(number, after))


def plain(error: Exception) -> str:
    """Its words without the queries of URLs, which may be secrets."""
    return _QUERY.sub("", str(error))


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
        except FileNotFoundError as error:
            raise RegistryError(
                f"There is no {file}: its Secret is not here, or not of type kubernetes.io/dockerconfigjson."
            ) from error
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise RegistryError(f"{file} is no .dockerconfigjson: {type(error).__name__} {error}.") from error
    return None
