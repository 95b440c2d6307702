"""One URL becomes one file, and goes on where the line broke."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests
import structlog
import urllib3
from requests.auth import HTTPBasicAuth

from training.sources import SCHEMES, DownloadError, Source, shown

#: Tries of one file; and seconds before the second, each further wait being twice as long.
TRIES, _PAUSE = 5, 1.0
_LONGEST: Final = 60  # seconds to wait for a server that asks for it
_TIMEOUT: Final = (10, 60)  # seconds to connect, and without a byte
_REDIRECTS: Final = 10
_CHUNK: Final = 1 << 16  # bytes; what came of one is lost where the line breaks
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_CONTINUED: Final = re.compile(r"bytes ([0-9]{1,18})-")
#: No other try makes these good.
_WRONG: Final = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.InvalidHeader)
_ADVICE: Final = {
    401: "it asks who wants it: give a signed URL, or one with user and password",
    403: "it refuses: look whether the URL's signature or user is still good",
    404: "there is nothing: correct the URL",
    410: "it is gone: give another URL",
}
_log = structlog.get_logger()
#: Told how many bytes there are, and of how many where that is known.
Told = Callable[[int, int | None], None]


def pause(seconds: float) -> None:
    """Between two tries; tests have another."""
    time.sleep(seconds)


class Transfer:
    """``source`` into ``file``, of ``most`` bytes at most."""

    def __init__(self, session: requests.Session, source: Source, file: Path, most: int, told: Told) -> None:
        self._session, self._source, self._file = session, source, file
        self._most, self._told = most, told
        self._have = 0
        self._of: int | None = None
        #: By which the server knows that the file is still the one that has begun to come; empty where it cannot.
        self._validator = ""

    def run(self) -> int:
        """All of it; its size in bytes. Raises DownloadError, and OSError where it cannot be written."""
        number = 1
        while True:
            try:
                self._go_on()
            except DownloadError as error:
                if error.permanent:
                    raise
                if number == TRIES:
                    raise DownloadError(f"{error} It was tried {number} times.", permanent=False) from error
                _log.warning("download.again", file=self._source.name, bytes=self._have, reason=str(error))
                pause(max(error.after, _PAUSE * 2 ** (number - 1)))
                number += 1
            else:
                return self._have

    def _go_on(self) -> None:
        """From where it is. Raises DownloadError for whatever comes in between."""
        if not self._validator:
            self._have = 0
        asked = {"Range": f"bytes={self._have}-", "If-Range": self._validator} if self._have else {}
        try:
            with self._ask(asked) as answer:
                self._begin(answer)
                with self._file.open("ab" if self._have else "wb") as out:
                    for chunk in answer.iter_content(_CHUNK):
                        self._have += len(chunk)
                        self._fits(self._have)
                        out.write(chunk)
                        self._told(self._have, self._of)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._trouble(error) from error
        if self._of is not None and self._have != self._of:
            self._validator = ""
            raise DownloadError(f"{self._source.shown} sent {self._have} of {self._of} bytes.", permanent=False)
        if not self._have:
            raise DownloadError(f"{self._source.shown} is empty: look whether it is the right one.", permanent=True)

    def _ask(self, headers: Mapping[str, str]) -> requests.Response:
        url, user = self._source.url, self._source.user
        for _ in range(_REDIRECTS + 1):
            known = _origin(url) == _origin(self._source.url)
            auth = HTTPBasicAuth(*user) if user is not None and known else None
            request = self._session.prepare_request(requests.Request("GET", url, dict(headers), auth=auth))
            line = self._session.get_adapter(url)  # not the session, which would read the whole body of a redirect
            answer = line.send(request, stream=True, timeout=_TIMEOUT, verify=self._session.verify or True)
            if not answer.is_redirect:
                return answer
            answer.close()
            url = self._led(url, answer)
        raise DownloadError(
            f"{self._source.shown} leads on more than {_REDIRECTS} times: give the URL of the file itself.",
            permanent=True,
        )

    def _led(self, url: str, answer: requests.Response) -> str:
        """Where the answer leads, if it may."""
        try:
            target = urljoin(url, self._session.get_redirect_target(answer) or "")
            scheme, where = _origin(target)[0], shown(target)
        except ValueError:
            scheme = where = ""
        if scheme not in SCHEMES:
            wrong = "leads to what is neither http nor https"
        elif urlsplit(url).scheme == "https" and scheme == "http":
            wrong = f"leads to {where}, where anybody can read and change it on its way"
        else:
            return target
        raise DownloadError(f"{self._source.shown} {wrong}: give the URL of the file itself.", permanent=True)

    def _begin(self, answer: requests.Response) -> None:
        """What its head says: from where it comes, and how much."""
        headers = answer.headers
        encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
        if self._have and answer.status_code == requests.codes.partial_content:
            found = _CONTINUED.match(headers.get("Content-Range", ""))
            if found is not None and int(found[1]) == self._have and not encoded:
                return
        if self._have and answer.status_code in (requests.codes.partial_content, requests.codes.range_not_satisfiable):
            self._validator = ""
            raise DownloadError(f"{self._source.shown} does not go on at byte {self._have}.", permanent=False)
        if answer.status_code != requests.codes.ok:
            raise self._refusal(answer)
        self._have = 0
        length = headers.get("Content-Length", "")
        self._of = int(length) if _NUMBER.fullmatch(length) and not encoded else None
        self._validator = "" if encoded else _validator(headers)
        self._fits(self._of or 0)

    def _fits(self, size: int) -> None:
        if size > self._most:
            raise DownloadError(
                f"{self._source.shown} is too large: {self._most} bytes are left of what all files may have together."
                " Allow more (--most), or give less.",
                permanent=True,
            )

    def _refusal(self, answer: requests.Response) -> DownloadError:
        status = answer.status_code
        said = f"The server answers {status} for {self._source.shown}"
        if status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500:
            return DownloadError(
                f"{said}: look how it is doing.", permanent=False, after=waits(answer.headers.get("Retry-After", ""))
            )
        return DownloadError(f"{said}: {_ADVICE.get(status, 'give the URL of the file itself')}.", permanent=True)

    def _trouble(self, error: Exception) -> DownloadError:
        """Not by what the error says, which may have the whole URL in it."""
        causes = list(_causes(error))
        why = next((it.strerror for it in causes if isinstance(it, OSError) and it.strerror), type(error).__name__)
        wrong = isinstance(error, _WRONG) or any(isinstance(it, ssl.SSLCertVerificationError) for it in causes)
        todo = "correct the URL, or the server" if wrong else "look whether the server is up and can be reached"
        return DownloadError(f"{self._source.shown} cannot be read ({why}): {todo}.", permanent=wrong)


def waits(said: str) -> float:
    """How many seconds a Retry-After header asks for, up to a minute; 0 for what is none."""
    if _NUMBER.fullmatch(said):
        return float(min(int(said), _LONGEST))
    try:
        seconds = parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), float(_LONGEST))


def _validator(headers: Mapping[str, str]) -> str:
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")  # a weak tag is good for no range


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
