"""Images for tests: layers as bytes, and what a registry needs to know of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar of these files; a TarInfo is a link or something else that has no content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


def packed(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    return gzip.compress(tar(files), mtime=0)


@dataclass
class Image:
    """``titles`` are those of the layers that are files, by number."""

    layers: Sequence[bytes]
    titles: Mapping[int, str] = field(default_factory=dict)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(blob): blob for blob in (b"{}", *self.layers)}

    @property
    def manifest(self) -> bytes:
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _described(b"{}", "application/vnd.oci.image.config.v1+json"),
                "layers": [self._layer(number, blob) for number, blob in enumerate(self.layers)],
            }
        ).encode()

    def _layer(self, number: int, blob: bytes) -> dict[str, Any]:
        described = _described(blob, "application/vnd.oci.image.layer.v1.tar+gzip")
        if number in self.titles:
            described["annotations"] = {"org.opencontainers.image.title": self.titles[number]}
        return described


def index(platforms: Mapping[str, bytes]) -> bytes:
    """Manifests by OS/ARCHITECTURE."""
    entries = [
        {**_described(manifest, MANIFEST), "platform": dict(zip(("os", "architecture"), name.split("/"), strict=True))}
        for name, manifest in platforms.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def _described(blob: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}
