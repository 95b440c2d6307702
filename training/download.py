"""``python -m training.download TARGET URL...``: training data into a directory, as a plain user.

A file is there whole or not at all. What an earlier try has brought is not fetched again. Progress is told in JSON, a
line every few seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import requests
import structlog

from oci.layers import discard
from training.archives import unpack
from training.connection import session
from training.failure import EXIT_CODE
from training.log import configure
from training.sources import DownloadError, Source, sources
from training.transfer import Transfer
from training.words import last_words

__all__ = ["MOST", "DownloadError", "download", "main"]

#: Bytes that all files may have together, with what archives unpack to, where nobody says otherwise.
MOST: Final = 100 << 30
#: Says which files are there, of which source and how large.
_RECORD: Final = ".downloaded.json"
_EVERY: Final = 2.0  # seconds
_log = structlog.get_logger()


def download(urls: Sequence[str], target: Path, *, most: int = MOST, allow_private: bool = False) -> None:
    """Each URL's file into ``target``, ``most`` bytes at most, and archives unpacked into folders.

    A URL may end in ``#sha256=`` and the checksum of its file. Only public addresses are connected to, unless
    ``allow_private``. Raises DownloadError.
    """
    began = time.monotonic()
    found = sources(urls)
    size = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        with session(allow_private=allow_private) as line:
            directory = _Directory(target, line)
            for source in found:
                size += directory.bring(source, most - size)
    except OSError as error:
        what = f"{target} cannot be written ({error.strerror}): look at the volume, and whether it is large enough."
        raise DownloadError(what, permanent=True) from error
    _log.info("download.done", files=len(found), bytes=size, seconds=round(time.monotonic() - began, 3))


class _Directory:
    """Where the files go."""

    def __init__(self, target: Path, line: requests.Session) -> None:
        self._target, self._line = target, line
        self._record = _read(target / _RECORD)

    def bring(self, source: Source, most: int) -> int:
        """What it takes in bytes, whether it comes now or is there. Raises DownloadError and OSError."""
        at = self._target / (source.folder or source.name)
        entry = self._record.get(source.name)
        if entry is None and at.exists():
            what = f"{at} is there already, and not from here: give the data a directory of its own."
            raise DownloadError(what, permanent=True)
        if entry is not None and entry.get("source") == source.key and _whole(at, source, entry):
            return int(entry["bytes"])
        partial, unpacking = (self._target / f".{source.name}.{ending}" for ending in ("part", "unpacking"))
        for left in (partial, unpacking):
            discard(left)
        try:
            size = Transfer(self._line, source, partial, most, _Progress(source.name)).run()
            _check(source, partial)
            if source.folder:
                size += unpack(partial, source.name, unpacking, most - size)
            self._remember(source, size)
            discard(at)
            (unpacking if source.folder else partial).rename(at)
        finally:
            for left in (partial, unpacking):
                discard(left)
        return size

    def _remember(self, source: Source, size: int) -> None:
        """Before it has its name, under which it is whole: what has that name without a record is not ours."""
        self._record[source.name] = {"source": source.key, "bytes": size}
        written = self._target / f"{_RECORD}.part"
        written.write_text(json.dumps(self._record))
        written.rename(self._target / _RECORD)


def _read(record: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(record.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(at: Path, source: Source, entry: dict[str, Any]) -> bool:
    return at.is_dir() if source.folder else at.is_file() and at.stat().st_size == entry["bytes"]


def _check(source: Source, file: Path) -> None:
    if not source.sha256:
        return
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != source.sha256:
        raise DownloadError(
            f"{source.shown} has the checksum sha256={found}, which is not the one given: it has been changed,"
            " or the checksum is of another file.",
            permanent=True,
        )


class _Progress:
    def __init__(self, file: str) -> None:
        self._file, self._told = file, time.monotonic()

    def __call__(self, have: int, of: int | None) -> None:
        if (now := time.monotonic()) >= self._told + _EVERY:
            self._told = now
            _log.info("download.progress", file=self._file, bytes=have, of=of)


def main(arguments: list[str] | None = None) -> None:
    """Exits with EXIT_CODE or 1 where the data cannot be had, with last words that say why."""
    parser = argparse.ArgumentParser(prog="training.download", description="Training data, into a directory.")
    parser.add_argument("target", type=Path)
    parser.add_argument("urls", nargs="+", metavar="url", help="http(s)://HOST/PATH[#sha256=HEX]")
    parser.add_argument("--most", type=int, default=MOST, metavar="BYTES", help="of all files together")
    parser.add_argument("--allow-private", action="store_true", help="addresses that are not on the Internet as well")
    flags = parser.parse_args(arguments)  # in which nothing after -- is a flag
    configure()
    try:
        download(flags.urls, flags.target, most=flags.most, allow_private=flags.allow_private)
    except DownloadError as error:
        last_words("fetch", "DownloadFailed", str(error), permanent=error.permanent)
        print(f"training.download: {error}", file=sys.stderr)
        sys.exit(EXIT_CODE if error.permanent else 1)


if __name__ == "__main__":
    main()
