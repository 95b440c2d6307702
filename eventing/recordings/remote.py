"""What a recorder has, over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import httpx

from eventing.recordings.part import CURSOR, Part
from eventing.recordings.recording import Record, RecordingError, records_in

_TIMEOUT: Final = httpx.Timeout(60, connect=5)


def is_url(source: str) -> bool:
    """Is it a recorder's address, and no file's?"""
    return source.startswith(("http://", "https://"))


class Remote:
    """The recorder at ``url``."""

    def __init__(self, url: str) -> None:
        self._url, self._cursor = url.rstrip("/"), 0
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=False)

    def new(self, part: Part) -> Iterator[Record]:
        return (record for _, record in self.read(part.model_copy(update={"after": self._cursor})))

    def read(self, part: Part) -> Iterator[tuple[bytes, Record]]:
        try:
            with self._client.stream("GET", f"{self._url}/records", params=part.query()) as answer:
                if answer.status_code != 200 or CURSOR not in answer.headers:
                    said = f"{answer.status_code} {answer.read()[:200].decode(errors='replace').strip()}".strip()
                    raise RecordingError(f"{self._url} does not answer as a recorder: {said}")
                yield from records_in(_lines(answer.iter_bytes()), self._url)
                self._cursor = int(answer.headers[CURSOR])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RecordingError(f"{self._url} does not answer: {error}. Is the port still forwarded?") from error


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """With their ends; httpx's own end where JSON may go on, too."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
