"""Archives become folders; whatever would be written, or would lead, outside of one is refused."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

import zstandard

from oci.layers import discard, opened
from training.sources import DownloadError

#: What a broken archive may raise; RuntimeError is zipfile's for one with a password.
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,
)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
#: Bytes that even an empty file counts for: millions of them fill a disk as well.
_LEAST: Final = 512
_PLAIN: Final = (0, stat.S_IFREG, stat.S_IFDIR)


def unpack(file: Path, name: str, folder: Path, most: int) -> int:
    """The archive of that name into a new ``folder``: how many bytes, of ``most`` at most.

    Raises DownloadError, and OSError where the disk is full.
    """
    folder.mkdir()
    unpacking = _Unpacking(name, folder, most)
    try:
        unpacking.zip(file) if name.lower().endswith(".zip") else unpacking.tar(file)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        raise DownloadError(f"{name} cannot be unpacked: {error}. Make it anew.", permanent=True) from error
    if not unpacking.size:
        raise DownloadError(f"{name} has no files: look whether it is the right one.", permanent=True)
    return unpacking.size


class _Unpacking:
    def __init__(self, name: str, folder: Path, most: int) -> None:
        self._name, self._folder, self._most = name, folder, most
        self.size = 0

    def zip(self, file: Path) -> None:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                path = self._inside(member.filename)
                if stat.S_IFMT(member.external_attr >> 16) not in _PLAIN:
                    raise self._refused(member.filename, "is neither file nor directory")
                self._take(member.file_size)
                at = self._folder / path
                if member.is_dir():
                    at.mkdir(parents=True, exist_ok=True)
                    continue
                at.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as content, at.open("wb") as out:
                    shutil.copyfileobj(content, out)

    def tar(self, file: Path) -> None:
        with opened(file) as content:
            if content is None:
                raise DownloadError(f"{self._name} is no archive: look whether it is the right one.", permanent=True)
            with tarfile.open(fileobj=content, mode="r|") as archive:
                for member in archive:
                    self._check(member)
                    self._take(member.size)
                    if not member.isdir():
                        discard(self._folder / member.name)
                    try:
                        archive.extract(member, self._folder, filter="data")
                    except tarfile.FilterError as error:
                        raise self._refused(member.name, "leads out of its folder") from error

    def _check(self, member: tarfile.TarInfo) -> None:
        """What Python's own filter does not see in all its versions: links that other links lead outside."""
        path = self._inside(member.name)
        if not path.parts and not member.isdir():
            raise self._refused(member.name, "has no name")
        if self._through_link(path if member.isdir() else path.parent):
            raise self._refused(member.name, "is written through a link")
        if member.issym():
            to = PurePosixPath(member.linkname)
            up = next((number for number, part in enumerate(to.parts) if part != ".."), len(to.parts))
            if to.is_absolute() or up >= len(path.parts) or ".." in to.parts[up:]:
                raise self._refused(member.name, "is a link that leads out of its folder")
        elif member.islnk():
            linked = PurePosixPath(member.linkname)
            if _outside(linked) or self._through_link(linked) or not (self._folder / linked).is_file():
                raise self._refused(member.name, f"is a link to {member.linkname!r}, which is no file before it")
        elif not (member.isreg() or member.isdir()):
            raise self._refused(member.name, "is neither file nor directory")

    def _inside(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name)
        if _outside(path):
            raise self._refused(name, "is outside of its folder")
        return path

    def _through_link(self, path: PurePosixPath) -> bool:
        return any((self._folder / it).is_symlink() for it in (path, *path.parents))

    def _take(self, size: int) -> None:
        self.size += max(size, _LEAST)
        if self.size > self._most:
            raise DownloadError(
                f"{self._name} unpacks to more than the {self._most} bytes that are left of what all files may have"
                " together: allow more (--most), or give less.",
                permanent=True,
            )

    def _refused(self, member: str, why: str) -> DownloadError:
        return DownloadError(f"{self._name} is refused: its member {member!r} {why}. Make it anew.", permanent=True)


def _outside(path: PurePosixPath) -> bool:
    return path.is_absolute() or ".." in path.parts
