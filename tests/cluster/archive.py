"""An image made of a few files and nothing else, as an OCI archive."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

_MEDIA_TYPE: Final = "application/vnd.oci.image.{}"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def write(out: IO[bytes], name: str, files: Mapping[str, Path], entrypoint: Sequence[str] = ()) -> None:
    """Write the image ``name`` of ``files`` (path in the image → file or folder here).

    Everybody may read and run them; whoever runs the image is no named user (65532).
    """
    with tempfile.TemporaryFile() as layer, tarfile.open(fileobj=out, mode="w|") as archive:
        _layer(layer, files)
        layer.seek(0)
        digest = f"sha256:{hashlib.file_digest(layer, 'sha256').hexdigest()}"
        size = layer.tell()
        layer.seek(0)
        _add(archive, blob(digest), layer, size)
        config = _document(
            archive,
            "config.v1+json",
            {
                "architecture": _ARCHITECTURES[platform.machine()],
                "os": "linux",
                "config": {"User": "65532:65532", **({"Entrypoint": list(entrypoint)} if entrypoint else {})},
                "rootfs": {"type": "layers", "diff_ids": [digest]},
            },
        )
        layers = [{"mediaType": _MEDIA_TYPE.format("layer.v1.tar"), "digest": digest, "size": size}]
        manifest = _document(archive, "manifest.v1+json", {"schemaVersion": 2, "config": config, "layers": layers})
        named = {**manifest, "annotations": {"io.containerd.image.name": name}}
        _add_json(archive, "index.json", {"schemaVersion": 2, "manifests": [named]})
        _add_json(archive, "oci-layout", {"imageLayoutVersion": "1.0.0"})


def _layer(file: IO[bytes], files: Mapping[str, Path]) -> None:
    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o755
        return member

    with tarfile.open(fileobj=file, mode="w") as layer:
        for path, source in files.items():
            layer.add(source.resolve(), path, filter=plain)


def _document(archive: tarfile.TarFile, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a JSON blob; returns its descriptor."""
    media_type = _MEDIA_TYPE.format(kind)
    data = json.dumps({"mediaType": media_type, **content} if "layers" in content else content).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _add(archive, blob(digest), io.BytesIO(data), len(data))
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _add_json(archive: tarfile.TarFile, name: str, content: Mapping[str, Any]) -> None:
    data = json.dumps(content).encode()
    _add(archive, name, io.BytesIO(data), len(data))


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)


def blob(digest: str) -> str:
    """Where an OCI layout keeps it."""
    return f"blobs/{digest.replace(':', '/')}"
