"""An OCI archive as it is written to a reader that has some of its blobs, and an image made of a few files."""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from kaito.api.resources import Object

_MEDIA_TYPE: Final = "application/vnd.oci.image.{}"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK: Final = 1 << 20


class Archive:
    """One image, blob by blob; ``end`` names it."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def blob(self, digest: str, size: int, content: Iterable[bytes]) -> None:
        """Add ``size`` bytes by their digest."""
        self._member(f"blobs/{digest.replace(':', '/')}", size, content)

    def document(self, text: str) -> Object:
        """Add a JSON text; returns its descriptor but for the media type."""
        data = text.encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blob(digest, len(data), [data])
        return {"digest": digest, "size": len(data)}

    def end(self, reference: str, manifest: Object) -> None:
        """Name the image of this manifest, given by its descriptor."""
        named = {**manifest, "annotations": {"io.containerd.image.name": reference}}
        for name, content in {
            "index.json": {"schemaVersion": 2, "manifests": [named]},
            "oci-layout": {"imageLayoutVersion": "1.0.0"},
        }.items():
            data = json.dumps(content).encode()
            self._member(name, len(data), [data])
        self._out.write(bytes(2 * tarfile.BLOCKSIZE))

    def _member(self, name: str, size: int, content: Iterable[bytes]) -> None:
        header = tarfile.TarInfo(name)
        header.size = size
        self._out.write(header.tobuf())
        for chunk in content:
            self._out.write(chunk)
        self._out.write(bytes(-size % tarfile.BLOCKSIZE))


def chunks(file: IO[bytes]) -> Iterable[bytes]:
    """What is left of a file, in parts of a size to be held in memory."""
    return iter(lambda: file.read(_CHUNK), b"")


def write(out: IO[bytes], reference: str, files: Mapping[str, Path], entrypoint: Sequence[str] = ()) -> None:
    """Write the image of ``files`` (path in the image → file or folder here).

    Everybody may read and run them; whoever runs the image is no named user (65532).
    """
    archive = Archive(out)
    with tempfile.TemporaryFile() as layer:
        _layer(layer, files)
        size = layer.tell()
        layer.seek(0)
        digest = f"sha256:{hashlib.file_digest(layer, 'sha256').hexdigest()}"
        layer.seek(0)
        archive.blob(digest, size, chunks(layer))
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"User": "65532:65532", **({"Entrypoint": list(entrypoint)} if entrypoint else {})},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = {
        "schemaVersion": 2,
        **_typed("manifest.v1+json"),
        "config": {**_typed("config.v1+json"), **archive.document(json.dumps(config))},
        "layers": [{**_typed("layer.v1.tar"), "digest": digest, "size": size}],
    }
    archive.end(reference, {**_typed("manifest.v1+json"), **archive.document(json.dumps(manifest))})


def _typed(kind: str) -> dict[str, Any]:
    return {"mediaType": _MEDIA_TYPE.format(kind)}


def _layer(file: IO[bytes], files: Mapping[str, Path]) -> None:
    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755
        return member

    with tarfile.open(fileobj=file, mode="w") as layer:
        for path, source in files.items():
            layer.add(source.resolve(), path, filter=plain)
