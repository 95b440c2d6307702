"""Where records go: a file of this machine, or the recorder of a cluster."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import urllib3

from kaito import __version__
from kaito.api.sizes import megabytes
from kaito.runtime.events import BATCH
from kaito.runtime.recording.installation import Installation
from kaito.runtime.recording.recorder import Recorder, Sink

VARIABLE: Final = "KAITO_RECORDING"
MOST_VARIABLE: Final = "KAITO_RECORDING_MEGABYTES"
ENDING: Final = ".ndjson"
_DEFAULT_MEGABYTES: Final = 64
#: Of a batch, about: the recorder takes larger ones, and one event may be large.
_BATCH_BYTES: Final = 4 << 20
#: Tries to reach the recorder, which may be at zero, and seconds before the second; each wait is twice the one before.
_TRIES, _WAIT = 6, 0.5
_TIMEOUT: Final = urllib3.Timeout(connect=5, read=60)
#: Refusals that may be over the next time, beside those from 500 on; 404: the route is not there yet.
_TRANSIENT: Final = frozenset({404, 408, 425, 429})


class FileSink:
    """A file of lines, one event each, in JSON. With the half of ``most`` bytes another begins, and of those before
    only the last stays."""

    def __init__(self, file: Path, most: int) -> None:
        self._file, self._most = file, most
        file.parent.mkdir(parents=True, exist_ok=True)
        self._out = file.open("ab")

    def put(self, lines: Sequence[bytes]) -> bool:
        self._out.write(b"".join(lines))
        self._out.flush()
        if self._out.tell() * 2 < self._most:
            return True
        self._out.close()
        self._file.rename(self._file.with_suffix(f".1{ENDING}"))
        self._out = self._file.open("ab")
        return False

    def close(self) -> None:
        self._out.close()


class HttpSink:
    """The recorder at ``url``, which takes batches of events."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._closed = threading.Event()

    def put(self, lines: Sequence[bytes]) -> bool:
        for batch in _batches(lines):
            self._deliver(b"[" + b",".join(batch) + b"]")
        return True

    def _deliver(self, body: bytes) -> None:
        for attempt in range(_TRIES):
            if attempt:
                self._closed.wait(_WAIT * 2 ** (attempt - 1))
            said, again = self._post(body)
            if not said:
                return
            if not again:
                break
        raise OSError(f"the recorder at {self._url} does not take them: {said}")

    def _post(self, body: bytes) -> tuple[str, bool]:
        """Why it was not taken, empty where it was, and whether it may be later."""
        try:
            answer = self._pool.request("POST", self._url, body=body, headers={"Content-Type": BATCH})
        except urllib3.exceptions.HTTPError as error:
            return str(error), True
        if answer.status < 300:
            return "", False
        said = answer.data[:200].decode(errors="replace").strip()
        return f"{answer.status} {said}", answer.status >= 500 or answer.status in _TRANSIENT

    def close(self) -> None:
        self._closed.set()
        self._pool.clear()


def recorder(function: str, read: Callable[[], Installation], environment: Mapping[str, str]) -> Recorder | None:
    """What records, where ``environment`` asks for that; only then the installation is ``read``. Raises ValueError."""
    where = sink(environment, function)
    return Recorder(function, __version__, read(), where) if where else None


def sink(environment: Mapping[str, str], function: str) -> Sink | None:
    """What ``KAITO_RECORDING`` says: a directory as file:///PATH, a recorder as http://HOST/, or nothing. Raises
    ValueError."""
    given = environment.get(VARIABLE, "")
    if not given:
        return None
    url = urlsplit(given)
    if url.scheme == "file" and not url.netloc and url.path:
        most = megabytes(environment, MOST_VARIABLE, _DEFAULT_MEGABYTES)
        return FileSink(Path(unquote(url.path)) / f"{function}-{secrets.token_hex(4)}{ENDING}", most)
    if url.scheme in ("http", "https") and url.netloc:
        return HttpSink(given)
    raise ValueError(f"{VARIABLE} is {given!r}; it must be file:///DIRECTORY, http://RECORDER/, or empty")


def _batches(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch, size = list[bytes](), 0
    for line in lines:
        if batch and size + len(line) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch
