"""What an image is made of: the same files are the same bytes, and nothing of it leads elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from oci import packing
from oci.layers import Unpacked
from oci.packing import FolderError, Packed
from tests.images import digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "adapter_config.json").write_bytes(b"{}")
    (made / "sub" / "gewichte-ü").write_bytes(b"1" * 5000)
    return made


def pack(folder: Path) -> tuple[Packed, Path]:
    layer = folder.parent / "layer"
    return packing.pack(folder, layer), layer


def entries(layer: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(layer) as archive:
        return archive.getmembers()


def test_a_layer_has_the_files_in_data_of_no_user_and_no_time(folder: Path) -> None:
    (folder / "adapter_config.json").chmod(0o600)
    packed, layer = pack(folder)
    assert [(it.name, it.mode, it.uid, it.gid, it.uname, it.gname, it.mtime) for it in entries(layer)] == [
        ("data", 0o755, 0, 0, "", "", 0),
        ("data/adapter_config.json", 0o644, 0, 0, "", "", 0),
        ("data/sub", 0o755, 0, 0, "", "", 0),
        ("data/sub/gewichte-ü", 0o644, 0, 0, "", "", 0),
    ]
    content = layer.read_bytes()
    assert (packed.digest, packed.size) == (digest(content), len(content))
    assert packed.unpacked == digest(gzip.decompress(content))


def test_the_same_files_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, _ = pack(folder)
    again = tmp_path / "elsewhere" / "again"
    (again / "sub").mkdir(parents=True)
    for name in ("sub/gewichte-ü", "adapter_config.json"):
        (again / name).write_bytes((folder / name).read_bytes())
        os.utime(again / name, (1, 1))
    assert pack(again)[0] == first
    (again / "adapter_config.json").write_bytes(b"[]")
    assert pack(again)[0].digest != first.digest


def test_what_a_puller_makes_of_it_is_the_folder(folder: Path, tmp_path: Path) -> None:
    _, layer = pack(folder)
    target = tmp_path / "target"
    target.mkdir()
    unpacked = Unpacked("data", target)
    unpacked.add(layer, "")
    assert (unpacked.tops, unpacked.files) == ({"data"}, 2)
    for name in ("adapter_config.json", "sub/gewichte-ü"):
        assert (target / name).read_bytes() == (folder / name).read_bytes()


def test_config_and_manifest_are_those_of_an_image(folder: Path) -> None:
    packed, _ = pack(folder)
    config = packing.config(packed)
    said = json.loads(config)
    assert (said["architecture"], said["os"]) == ("amd64", "linux")
    assert said["rootfs"] == {"type": "layers", "diff_ids": [packed.unpacked]}
    assert len(said["history"]) == 1
    assert "created" not in said
    assert json.loads(packing.manifest(packed, config, {"a": "1"})) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": packed.digest,
                "size": packed.size,
            }
        ],
        "annotations": {"a": "1"},
    }
    assert "annotations" not in json.loads(packing.manifest(packed, config, {}))
    assert packing.manifest(packed, config, {"a": "1", "b": "2"}) == packing.manifest(
        packed, config, {"b": "2", "a": "1"}
    )


def test_links_within_the_folder_lead_there_from_wherever_it_is(folder: Path) -> None:
    (folder / "sub" / "absolute").symlink_to(folder / "adapter_config.json")
    (folder / "to-folder").symlink_to("sub")
    links = {it.name: it.linkname for it in entries(pack(folder)[1]) if it.issym()}
    assert links == {"data/sub/absolute": "../adapter_config.json", "data/to-folder": "sub"}


@pytest.mark.parametrize("name", ["link", "sub/link"])
@pytest.mark.parametrize(("to", "said"), [("/etc", "outside of"), ("../../etc", "nowhere"), ("link", "nowhere")])
def test_links_that_lead_out_or_nowhere_are_refused(folder: Path, name: str, to: str, said: str) -> None:
    (folder / name).symlink_to(to)
    with pytest.raises(FolderError, match=rf"{name} is a link .*{said}"):
        pack(folder)


def test_what_is_no_folder_of_files_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(FolderError, match="empty has no files"):
        packing.size(tmp_path / "empty")
    with pytest.raises(FolderError, match=r"There is no folder .*missing"):
        packing.size(tmp_path / "missing")
    with pytest.raises(FolderError, match="There is no folder"):
        packing.size(folder / "adapter_config.json")
    os.mkfifo(folder / "pipe")
    with pytest.raises(FolderError, match="pipe is neither a file nor a folder"):
        packing.size(folder)


def test_a_large_file_is_never_in_memory_whole(folder: Path) -> None:
    large = hashlib.shake_256(b"1").digest(8 << 20)
    (folder / "model").write_bytes(large)
    told: list[int] = []
    tracemalloc.start()
    packed = packing.pack(folder, folder.parent / "layer", told.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert packed.size > len(large)
    assert peak < 1 << 20
    assert sum(told) == packing.size(folder)
