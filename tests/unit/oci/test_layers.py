"""What layers on top of each other make of a folder, and that none of them reaches out of it."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from oci.layers import LayerError, Unpacked
from tests.images import link, packed, tar


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def unpack(target: Path, *layers: bytes, folder: str = "data", titles: Sequence[str] = ()) -> Unpacked:
    unpacked = Unpacked(folder, target)
    for number, layer in enumerate(layers):
        file = target.parent / f"layer-{number}"
        file.write_bytes(layer)
        unpacked.add(file, titles[number] if titles else "")
    return unpacked


def found(target: Path) -> dict[str, bytes]:
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


@pytest.mark.parametrize("pack", [tar, packed, lambda files: zstandard.compress(tar(files))])
@pytest.mark.parametrize("name", ["data/a/b", "./data/a/b", "/data/a/b"])
def test_only_the_folder_is_unpacked(target: Path, pack, name: str) -> None:  # type: ignore[no-untyped-def]
    unpacked = unpack(target, pack({"bin/sh": b"no", name: b"yes", "database": b"no"}))
    assert found(target) == {"a/b": b"yes"}
    assert (unpacked.files, unpacked.tops) == (1, {"bin", "data", "database"})


def test_zstd_may_be_of_several_frames(target: Path) -> None:
    layer = tar({"data/a": b"1" * 2000, "data/b": b"2"})
    unpack(target, zstandard.compress(layer[:1024]) + zstandard.compress(layer[1024:]))
    assert found(target) == {"a": b"1" * 2000, "b": b"2"}


def test_a_folder_may_be_deeper_or_the_whole(target: Path) -> None:
    layer = packed({"models/phi/weights": b"1", "models/other": b"2"})
    unpack(target, layer, folder="models/phi")
    assert found(target) == {"weights": b"1"}
    unpack(target, layer, folder="/")
    assert found(target) == {"weights": b"1", "models/phi/weights": b"1", "models/other": b"2"}


def test_later_layers_change_and_remove_what_is_below(target: Path) -> None:
    below = packed({"data/kept": b"1", "data/changed": b"1", "data/gone": b"1", "data/old/a": b"1", "data/all/a": b"1"})
    above = packed(
        {
            "data/changed": b"2",
            "data/.wh.gone": b"",
            "data/.wh.old": b"",
            "data/all/.wh..wh..opq": b"",
            "data/all/b": b"2",
        }
    )
    unpack(target, below, above)
    assert found(target) == {"kept": b"1", "changed": b"2", "all/b": b"2"}


def test_files_of_an_artifact_are_called_by_their_titles(target: Path) -> None:
    unpack(target, b"{}", b"weights", b"no", titles=["config.json", "data/sub/model", "docs/readme"])
    assert found(target) == {"config.json": b"{}", "sub/model": b"weights"}


def test_links_within_the_folder_are_kept(target: Path) -> None:
    unpack(
        target,
        tar(
            {
                "data/a": b"1",
                "data/soft": link("data/soft", "a"),
                "data/hard": link("data/hard", "data/a", tarfile.LNKTYPE),
            }
        ),
    )
    assert found(target) == {"a": b"1", "soft": b"1", "hard": b"1"}
    assert (target / "soft").is_symlink()


@pytest.mark.parametrize(
    ("layers", "titles"),
    [
        ([tar({"data/../../evil": b"1"})], []),
        ([tar({"data/up": link("data/up", "../..")})], []),
        ([tar({"data/up": link("data/up", "/etc")})], []),
        ([tar({"data/hard": link("data/hard", "etc/passwd", tarfile.LNKTYPE)})], []),
        ([tar({"data/pipe": link("data/pipe", "", tarfile.CHRTYPE)})], []),
        ([tar({"data/a/../../.wh.sentinel": b""})], []),
        ([b"1"], ["data/../../evil"]),
        ([b"1"], [""]),
        ([packed({"data/a": b"1"})[:40]], [""]),
        ([zstandard.compress(tar({"data/a": b"1" * 99}))[:-9]], [""]),
    ],
)
def test_what_reaches_out_of_it_or_is_broken_is_refused(target: Path, layers: list[bytes], titles: list[str]) -> None:
    sentinel = target.parent / "sentinel"
    sentinel.write_bytes(b"1")
    with pytest.raises(LayerError):
        unpack(target, *layers, titles=titles)
    assert sentinel.exists()
    assert not (target.parent / "evil").exists()
    assert not (target.parent.parent / "evil").exists()


NAMES = st.lists(
    st.sampled_from(["data", "..", ".", "", "a", "b", "a.b", ".wh.a", ".wh..", ".wh...", ".wh..wh..opq"]),
    min_size=1,
    max_size=5,
)
ENTRIES = st.tuples(
    NAMES.map("/".join), st.one_of(st.none(), NAMES.map("/".join)), st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE])
)


@given(st.lists(st.lists(ENTRIES, max_size=4), min_size=1, max_size=3))
def test_nothing_outside_is_ever_touched(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[tuple[str, str | None, bytes]]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    target = root / "inner" / "target"
    target.mkdir(parents=True)
    guards = [root / "a", root / "data", root / "inner" / "a", root / "inner" / "data"]
    for guard in guards:
        guard.write_bytes(b"guard")
    for number, entries in enumerate(layers):
        files = {f"{at}": (name, to, kind) for at, (name, to, kind) in enumerate(entries)}
        file = root / f"layer-{number}"
        file.write_bytes(_tar(files))
        try:
            Unpacked("data", target).add(file, "")
        except LayerError:
            break
    assert [guard.read_bytes() for guard in guards] == [b"guard"] * len(guards)
    assert {path.name for path in root.iterdir() if not path.name.startswith("layer-")} == {"a", "data", "inner"}
    assert {path.name for path in (root / "inner").iterdir()} == {"a", "data", "target"}


def _tar(entries: dict[str, tuple[str, str | None, bytes]]) -> bytes:
    import io

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, to, kind in entries.values():
            if to is not None:
                archive.addfile(link(name, to, kind))
                continue
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"new"))
    return out.getvalue()
