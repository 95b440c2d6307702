"""Where training data lies: its URL, what its file is called, and the checksum that it is held to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

SCHEMES: Final = ("http", "https")
#: What is unpacked.
_ARCHIVES: Final = (".tar", ".tar.gz", ".tar.zst", ".tgz", ".zip")
_NAMELESS: Final = "data"
_LONGEST: Final = 80  # characters of a name, without its extension
_UNSAFE: Final = re.compile(r"[^\w.-]+", re.ASCII)
#: A name and its extension, which may be of two parts: ``.jsonl.gz``.
_PARTS: Final = re.compile(r"(.+?)(\.\w{1,12}\.(?:gz|zst|bz2|xz)|\.\w{1,12})?", re.ASCII | re.IGNORECASE)
_CHECKSUM: Final = re.compile(r"sha256=([0-9a-f]{64})", re.IGNORECASE)


class DownloadError(Exception):
    """The data cannot be had; the message is a sentence that says why and what to do, and tells no secret.

    ``permanent`` where only a person can mend it; ``after`` is how many seconds the server asks to wait.
    """

    def __init__(self, message: str, *, permanent: bool, after: float = 0.0) -> None:
        super().__init__(message)
        self.permanent, self.after = permanent, after


@dataclass(frozen=True, slots=True)
class Source:
    """``url`` is without user and fragment; ``folder`` is what an archive is unpacked into, empty for other files.

    ``sha256`` is in small letters, and empty where nobody says it.
    """

    url: str = field(repr=False)
    user: tuple[bytes, bytes] | None = field(repr=False)
    sha256: str
    name: str
    folder: str

    @property
    def shown(self) -> str:
        """The URL as it may be told to anybody."""
        return shown(self.url)

    @property
    def key(self) -> str:
        """Says whether a file is of this source, and gives none of its secrets away."""
        return hashlib.sha256(f"{self.url}#{self.sha256}".encode()).hexdigest()


def shown(url: str) -> str:
    """Without what may be a secret: its user, its query and its fragment. Raises ValueError where it is none."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def sources(urls: Sequence[str]) -> tuple[Source, ...]:
    """Of these URLs, each with a name of its own. Raises DownloadError."""
    taken: set[str] = set()
    return tuple(_source(url, number, taken) for number, url in enumerate(urls, start=1))


def _source(url: str, number: int, taken: set[str]) -> Source:
    try:
        parts = urlsplit(url)
        usable = url.isprintable() and parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:  # it is not shown: nobody knows where its secrets are
        raise DownloadError(f"URL {number} of the training data is none: http(s)://HOST/PATH.", permanent=True)
    checksum = _CHECKSUM.fullmatch(parts.fragment)
    if parts.fragment and checksum is None:
        what = "has something other than sha256=, and 64 hexadecimal digits, after its #: correct it"
        raise DownloadError(f"{shown(url)} {what}.", permanent=True)
    user = None
    if parts.username is not None:
        user = unquote(parts.username).encode(), unquote(parts.password or "").encode()
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return Source(plain, user, checksum[1].lower() if checksum else "", *_named(parts.path, taken))


def _named(path: str, taken: set[str]) -> tuple[str, str]:
    """File and folder for the last part of a URL's path, neither of them hidden nor in ``taken``, where they go."""
    last = _UNSAFE.sub("_", unquote(path.rpartition("/")[2])).lstrip(".-") or _NAMELESS
    found = _PARTS.fullmatch(last)
    assert found is not None  # any text of one line has a name
    stem, extension = found[1][:_LONGEST], found[2] or ""
    archive = extension.lower() in _ARCHIVES
    count, one = 1, stem
    while taken & ({one, one + extension} if archive else {one + extension}):
        count += 1
        one = f"{stem}-{count}"
    folder = one if archive else ""
    taken |= {one + extension, folder}
    return one + extension, folder
