"""An image of buildah's store as an OCI archive: uncompressed, and without what the reader has already.

``buildah push`` compresses every OCI archive it writes, and reads all layers anew each time: more than a minute for
the image with torch, of which mostly a few KiB are new. The store keeps each layer as a tree of files and, beside it,
all of the layer's tar but their content (github.com/vbatts/tar-split); the tar is put together again here.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import tarfile
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from kaito.embedded.error import EmbeddedError
from tests.cluster.archive import blob

_CHUNK: Final = 1 << 20
_RAW: Final = 2  # of the tar itself: headers and padding; what is not is a file's content


class NotStored(EmbeddedError):
    """buildah's store does not hold the image, or not in the form that is read here."""


def write(reference: str, out: IO[bytes], present: Container[str] = ()) -> None:
    """Write the image to ``out``, for ``ctr images import -``; blobs whose digest is in ``present`` are left out.

    Raises NotStored.
    """
    image = _buildah("inspect", "--type", "image", reference)
    store = Path(_buildah("info")["store"]["GraphRoot"])
    manifest = json.loads(image["Manifest"])
    documents = {image["FromImageDigest"]: image["Manifest"], manifest["config"]["digest"]: image["Config"]}
    descriptor = {
        "mediaType": manifest["mediaType"],
        "digest": image["FromImageDigest"],
        "size": len(image["Manifest"].encode()),
        "annotations": {"io.containerd.image.name": reference},
    }
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    for layer in manifest["layers"]:
        if layer["digest"] not in present:
            _member(out, blob(layer["digest"]), layer["size"], _tar(store, layer["digest"]))
    for digest, text in documents.items():
        _member(out, blob(digest), len(text.encode()), [text.encode()])
    for name, content in {"index.json": index, "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
        data = json.dumps(content).encode()
        _member(out, name, len(data), [data])
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _tar(store: Path, digest: str) -> Iterator[bytes]:
    """The layer's tar, as it was when its digest was taken."""
    layers = json.loads((store / "overlay-layers" / "layers.json").read_text())
    found = next((layer["id"] for layer in layers if layer.get("diff-digest") == digest), None)
    if found is None:
        raise NotStored(f"{store} holds no layer {digest}; remove the image there and build it again")
    tree = store / "overlay" / found / "diff"
    with gzip.open(store / "overlay-layers" / f"{found}.tar-split.gz") as entries:
        for line in entries:
            entry = json.loads(line)
            if entry["type"] == _RAW:
                yield base64.b64decode(entry["payload"])
            elif entry.get("size"):
                # The second is for names that are not UTF-8.
                name = entry.get("name") or base64.b64decode(entry["name_raw"]).decode(errors="surrogateescape")
                with (tree / name).open("rb") as content:
                    while chunk := content.read(_CHUNK):
                        yield chunk


def _member(out: IO[bytes], name: str, size: int, content: Iterable[bytes]) -> None:
    """One file of the archive: its header, its ``size`` bytes, and what fills the last block."""
    header = tarfile.TarInfo(name)
    header.size = size
    out.write(header.tobuf())
    for chunk in content:
        out.write(chunk)
    out.write(bytes(-size % tarfile.BLOCKSIZE))


def _buildah(*words: str) -> Any:
    try:
        done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotStored("there is no buildah on this machine: install the package buildah") from error
    if done.returncode:
        raise NotStored(f"buildah {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)
