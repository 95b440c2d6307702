"""Archives of what buildah has stored, from a store made here: the same tar, and no more than is wanted."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import buildah
from tests.cluster.buildah import NotStored, send
from tests.cluster.commands import CommandError

NAME = "dev.local/kaito/it:1"
LAYERS: list[dict[str, bytes | None]] = [
    {"etc/": None, "etc/hosts": b"127.0.0.1 localhost\n", "empty": b""},
    {"large": b"0123456789" * 300_000, "odd \udcff name": b"x" * 512},
]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def member(name: str, content: bytes | None) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    info.size = len(content or b"")
    return info


def pieces(files: dict[str, bytes | None]) -> Iterator[tuple[str | None, bytes]]:
    """A tar's bytes in order: (file, content), or (None, what is between)."""
    between = b""
    for name, content in files.items():
        between += member(name, content).tobuf(errors="surrogateescape")
        if content:
            yield None, between
            yield name, content
            between = bytes(-len(content) % 512)
    yield None, between + bytes(1024)


def store_layer(store: Path, identity: str, files: dict[str, bytes | None]) -> bytes:
    tree, entries = store / "overlay" / identity / "diff", []
    for name, data in pieces(files):
        if name is None:
            entries.append({"type": 2, "payload": base64.b64encode(data).decode()})
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
        raw = {"name_raw": base64.b64encode(name.encode(errors="surrogateescape")).decode()}
        entries.append({"type": 1, "size": len(data), **({"name": name} if name.isascii() else raw)})
    (store / "overlay-layers").mkdir(exist_ok=True)
    with gzip.open(store / "overlay-layers" / f"{identity}.tar-split.gz", "wt") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)
    return b"".join(data for _, data in pieces(files))


@pytest.fixture
def tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The layers of the image NAME in a store that buildah answers with."""
    made = [store_layer(tmp_path, f"layer{index}", files) for index, files in enumerate(LAYERS)]
    known = [{"id": f"layer{index}", "diff-digest": digest(tar)} for index, tar in enumerate(made)]
    (tmp_path / "overlay-layers" / "layers.json").write_text(json.dumps([{"id": "nameless"}, *known]))
    config = '{"os":"linux"}'
    manifest = json.dumps(
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"digest": digest(config.encode())},
            "layers": [{"digest": digest(tar), "size": len(tar)} for tar in made],
        }
    )

    monkeypatch.setattr(buildah, "store", lambda: tmp_path)
    monkeypatch.setattr(buildah, "buildah", lambda *_: json.dumps({"Manifest": manifest, "Config": config}))
    return made


def blobs(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {item.name: tar.extractfile(item) for item in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file}


def written(present: set[str]) -> dict[str, bytes]:
    out = io.BytesIO()
    send(NAME, out, present)
    return blobs(out.getvalue())


@pytest.mark.parametrize("left_out", [(), (0,), (0, 1)])
def test_each_layer_that_is_wanted_is_there_byte_for_byte(tars: list[bytes], left_out: tuple[int, ...]) -> None:
    files = written({digest(tars[index]) for index in left_out})
    index = json.loads(files.pop("index.json"))["manifests"]
    assert [entry["annotations"] for entry in index] == [{"io.containerd.image.name": NAME}]
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert all(name == f"blobs/{digest(data).replace(':', '/')}" for name, data in files.items())
    wanted = {digest(tar) for number, tar in enumerate(tars) if number not in left_out}
    assert {digest(data) for data in files.values()} & {digest(tar) for tar in tars} == wanted
    assert index[0]["digest"] in {digest(data) for data in files.values()}


def test_a_layer_that_is_not_stored_is_said(tars: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "overlay-layers" / "layers.json").write_text("[]")
    with pytest.raises(NotStored, match="built again"):
        written(set())


def test_without_buildah_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match="buildah is not here: install it"):
        send(NAME, io.BytesIO())
