"""buildah with a store of this project's own, so that nothing that this machine's user has built or pulled is touched.

Beside it: an image of that store as an OCI archive, uncompressed and without what the reader has already.
``buildah push`` compresses every OCI archive it writes, and reads all layers anew each time: more than a minute for
the image with torch, of which mostly a few KiB are new. The store keeps each layer as a tree of files and, beside it,
all of the layer's tar but their content (github.com/vbatts/tar-split); the tar is put together again here.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, Final

from kaito.embedded.cache import cache_dir
from kaito.embedded.error import EmbeddedError
from tests.cluster.archive import Archive, chunks
from tests.cluster.commands import CommandError, run

_RAW: Final = 2  # of the tar itself: headers and padding; what is not is a file's content


class NotStored(EmbeddedError):
    """The store does not hold a layer that one of its images has."""


def store() -> Path:
    """Images, by this user's cache: buildah's graph root."""
    return cache_dir() / "images"


def buildah(*words: str, cwd: Path | None = None) -> str:
    """What it printed; raises CommandError."""
    where = ["--root", str(store()), "--runroot", str(store() / "run"), "--storage-driver", "overlay"]
    return run("buildah", *where, *words, cwd=cwd, env={**os.environ, "BUILDAH_FORMAT": "oci"})


def identity(reference: str) -> str | None:
    """The image's id, which changes with its content; None where there is no such image."""
    try:
        return buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", reference)
    except CommandError:
        return None


def send(reference: str, out: IO[bytes], present: Container[str] = ()) -> None:
    """Write the image for ``ctr images import -``; blobs whose digest is in ``present`` are left out.

    Raises CommandError where there is no such image, and NotStored.
    """
    image = json.loads(buildah("inspect", "--type", "image", reference))
    manifest, archive = json.loads(image["Manifest"]), Archive(out)
    for layer in manifest["layers"]:
        if layer["digest"] not in present:
            archive.blob(layer["digest"], layer["size"], _tar(layer["digest"]))
    archive.document(image["Config"])
    archive.end(reference, {"mediaType": manifest["mediaType"], **archive.document(image["Manifest"])})


def _tar(digest: str) -> Iterator[bytes]:
    """The layer's tar, as it was when its digest was taken."""
    layers = json.loads((store() / "overlay-layers" / "layers.json").read_text())
    found = next((layer["id"] for layer in layers if layer.get("diff-digest") == digest), None)
    if found is None:
        raise NotStored(f"{store()} holds no layer {digest}; remove that folder, and all is built again")
    tree = store() / "overlay" / found / "diff"
    with gzip.open(store() / "overlay-layers" / f"{found}.tar-split.gz") as entries:
        for line in entries:
            entry = json.loads(line)
            if entry["type"] == _RAW:
                yield base64.b64decode(entry["payload"])
            elif entry.get("size"):
                # The second is for names that are not UTF-8.
                name = entry.get("name") or base64.b64decode(entry["name_raw"]).decode(errors="surrogateescape")
                with (tree / name).open("rb") as content:
                    yield from chunks(content)
