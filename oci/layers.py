"""Layers become files: those of one folder of an image, as they lie in it when all layers are on top of each other."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_TAR_AT, _TAR = 257, b"ustar"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class LayerError(Exception):
    """A layer cannot be unpacked; the message says which and why."""


class Unpacked:
    """``folder`` of an image, into ``target``. ``tops`` are the names that the image has at its top."""

    def __init__(self, folder: str, target: Path) -> None:
        self._folder, self._target = PurePosixPath(folder.strip("/")), target
        self.tops: set[str] = set()
        self.files = 0

    def add(self, file: Path, title: str) -> None:
        """One more layer on top: a tar, packed or not, or a single file of that ``title``. Raises LayerError."""
        try:
            with opened(file) as content:
                if content is None:
                    self._put(file, title)
                else:
                    with tarfile.open(fileobj=content, mode="r|") as archive:
                        for member in archive:
                            self._extract(archive, member)
        except (tarfile.TarError, EOFError, OSError, KeyError, zstandard.ZstdError) as error:
            raise LayerError(f"a layer cannot be unpacked: {error}") from error

    def _put(self, file: Path, title: str) -> None:
        """An artifact's file; one without a folder is in the one that is asked for."""
        if not title:
            raise LayerError("a layer is no archive, and nobody says what it is called")
        path = PurePosixPath(title)
        inside = path if path.parent == PurePosixPath() else self._inside(title)
        if inside is None:
            return
        if path.is_absolute() or ".." in path.parts:
            raise LayerError(f"a file is called {title}, which is outside of its folder")
        destination = self._target / inside
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, destination)
        self.files += 1

    def _extract(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        inside = self._inside(member.name)
        if inside is None:
            return
        if inside.name == _OPAQUE:
            _empty(self._target / inside.parent, self._target)
            return
        if inside.name.startswith(_WHITEOUT):
            _remove(self._target / inside.parent / inside.name.removeprefix(_WHITEOUT), self._target)
            return
        found = member.replace(name=str(inside), deep=False)
        if member.islnk():
            linked = self._inside(member.linkname)
            if linked is None:
                raise LayerError(f"{member.name} is a link to {member.linkname}, which is outside of its folder")
            found.linkname = str(linked)
        if not member.isdir():
            _remove(self._target / inside, self._target)
            self.files += 1
        try:
            archive.extract(found, self._target, filter="data")
        except tarfile.FilterError as error:
            raise LayerError(f"{member.name} would be written outside of its folder: {error}") from error

    def _inside(self, name: str) -> PurePosixPath | None:
        """Where that is in the folder; None where it is not."""
        path = PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in (".", "/")))
        if path.parts:
            self.tops.add(path.parts[0])
        return path.relative_to(self._folder) if path.is_relative_to(self._folder) else None


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes] | None]:
    """The tar in it; None where it is none."""
    with file.open("rb") as packed:
        begins = packed.read(_TAR_AT + len(_TAR))
        packed.seek(0)
        if begins.startswith(_GZIP):
            with gzip.open(packed) as content:
                yield content  # type: ignore[misc]
        elif begins.startswith(_ZSTD):
            with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as content:
                yield content
        else:
            yield packed if begins[_TAR_AT:] == _TAR else None


def _remove(path: Path, root: Path) -> None:
    _stay(path, root)
    discard(path)


def discard(path: Path) -> None:
    """Whatever is there; of a link not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty(folder: Path, root: Path) -> None:
    _stay(folder / "any", root)
    for path in folder.iterdir() if folder.is_dir() else ():
        _remove(path, root)


def _stay(path: Path, root: Path) -> None:
    """A link that an earlier layer has made may lead elsewhere."""
    if not path.parent.resolve().is_relative_to(root.resolve()) or ".." in path.parts:
        raise LayerError(f"{path.name} would be removed outside of its folder")
