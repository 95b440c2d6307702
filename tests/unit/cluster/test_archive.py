from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster import archive


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o600)
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    out = io.BytesIO()
    archive.write(out, "dev.local/it:1", {"usr/bin/it": program, "weights": folder}, ["/usr/bin/it", "-P"])
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as found:
        return {member.name: content.read() for member in found if (content := found.extractfile(member))}


def test_every_blob_is_what_its_name_says(members: dict[str, bytes]) -> None:
    blobs = {name: data for name, data in members.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    for name, data in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_index_manifest_and_config_lead_to_the_files(members: dict[str, bytes]) -> None:
    (named,) = json.loads(members["index.json"])["manifests"]
    assert named["annotations"] == {"io.containerd.image.name": "dev.local/it:1"}
    manifest = json.loads(_blob(members, named["digest"]))
    config = json.loads(_blob(members, manifest["config"]["digest"]))
    assert config["config"] == {"User": "65532:65532", "Entrypoint": ["/usr/bin/it", "-P"]}
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(_blob(members, layer["digest"]))) as files:
        found = {member.name: (member.mode, member.uid) for member in files}
    assert found == {"usr/bin/it": (0o755, 0), "weights": (0o755, 0), "weights/config.json": (0o755, 0)}


def _blob(members: dict[str, bytes], digest: str) -> bytes:
    return members[f"blobs/{digest.replace(':', '/')}"]
