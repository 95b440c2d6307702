"""A folder becomes an image of one layer: the same files, the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
#: Where an image has its files, for all who mount or pull it.
_INSIDE: Final = "data"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_LEVEL: Final = 1  # of gzip: weights hardly get smaller by more work


class FolderError(Exception):
    """The folder makes no image; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Packed:
    """``size`` in bytes, of the layer; ``unpacked`` is the digest of the tar in it."""

    digest: str
    size: int
    unpacked: str


def pack(folder: Path, layer: Path, read: Callable[[int], None] = lambda _: None) -> Packed:
    """The files of ``folder`` into the file ``layer``; ``read`` is told how many bytes more are. Raises FolderError."""
    found = _found(folder)
    with layer.open("wb") as file:
        packed = _Hashed(file)
        with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as pressed:
            content = _Hashed(pressed)
            with tarfile.open(fileobj=content, mode="w|") as archive:  # type: ignore[call-overload]
                for path, entry in found:
                    if entry.isreg():
                        with path.open("rb") as data:
                            archive.addfile(entry, _Told(data, read))
                    else:
                        archive.addfile(entry)
    return Packed(packed.digest, layer.stat().st_size, content.digest)


def size(folder: Path) -> int:
    """Of all its files, in bytes. Raises FolderError."""
    return sum(entry.size for _, entry in _found(folder))


def config(packed: Packed) -> bytes:
    """What a container runtime reads before it mounts the image."""
    return _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [packed.unpacked]},
            "history": [{"created_by": "python -m oci.push"}],
        }
    )


def manifest(packed: Packed, config: bytes, annotations: Mapping[str, str]) -> bytes:
    """The image's, of its layer and its ``config``."""
    content: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": _LAYER, "digest": packed.digest, "size": packed.size}],
    }
    if annotations:
        content["annotations"] = dict(annotations)
    return _json(content)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


class _Hashed:
    """A file that is written to; ``digest`` is of all that was."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file, self._hash = file, hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, content: bytes) -> int:
        self._hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


class _Told:
    """A file that is read from, and tells how much."""

    def __init__(self, file: IO[bytes], read: Callable[[int], None]) -> None:
        self._file, self._told = file, read

    def read(self, count: int = -1) -> bytes:
        content = self._file.read(count)
        self._told(len(content))
        return content


def _found(folder: Path) -> list[tuple[Path, tarfile.TarInfo]]:
    """All that is to be in the tar, by name. Raises FolderError where that is nothing."""
    if not folder.is_dir():
        raise FolderError(f"There is no folder {folder}: nothing can be pushed.")
    root = folder.resolve()
    found = sorted(_entries(root), key=lambda it: it[1].name)
    if all(entry.isdir() for _, entry in found):
        raise FolderError(f"{folder} has no files: nothing can be pushed.")
    return found


def _entries(root: Path) -> Iterator[tuple[Path, tarfile.TarInfo]]:
    for parent, folders, files in os.walk(root, onerror=_raise):
        here = Path(parent)
        inside = here.relative_to(root)
        yield here, _entry(inside, tarfile.DIRTYPE)
        for path in (here / name for name in (*folders, *files)):
            if path.is_symlink():
                link = _entry(inside / path.name, tarfile.SYMTYPE)
                link.linkname = os.path.relpath(_end(path, root), here)
                yield path, link
            elif path.is_file():
                entry = _entry(inside / path.name, tarfile.REGTYPE)
                entry.size = path.stat().st_size
                yield path, entry
            elif not path.is_dir():
                raise FolderError(f"{path} is neither a file nor a folder.")


def _entry(inside: Path, kind: bytes) -> tarfile.TarInfo:
    """Of no user and no time."""
    entry = tarfile.TarInfo((_INSIDE / inside).as_posix())
    entry.type, entry.mode = kind, _FOLDER_MODE if kind == tarfile.DIRTYPE else _FILE_MODE
    return entry


def _end(link: Path, root: Path) -> Path:
    """What it leads to in the end."""
    try:
        end = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise FolderError(f"{link} is a link that leads nowhere.") from error
    if not end.is_relative_to(root):
        raise FolderError(f"{link} is a link to {end}, which is outside of {root}.")
    return end


def _raise(error: OSError) -> None:
    raise error
