"""Names, addresses, archives that would reach out of their folder, and last words. Servers: tests/integration."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.images import link, packed, tar
from training.archives import unpack
from training.connection import refused
from training.download import main
from training.sources import DownloadError, shown, sources
from training.transfer import waits
from training.words import last_words

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (
            ["/a/train.jsonl?sig=1", "/b/train.jsonl", "/c/train.jsonl"],
            ["train.jsonl", "train-2.jsonl", "train-3.jsonl"],
        ),
        (["/x.jsonl.gz", "/x.jsonl.gz"], ["x.jsonl.gz", "x-2.jsonl.gz"]),
        (["/v1.0.tar.gz", "/v1.0.zip", "/v1.0"], ["v1.0.tar.gz", "v1.0-2.zip", "v1-2.0"]),
        (["", "/", "/folder/"], ["data", "data-2", "data-3"]),
        (["/..", "/.hidden", "/a%2F..%2F..%2Fetc%00", "/%2e%2e"], ["data", "hidden", "a_.._.._etc_", "data-2"]),
        (["/" + "x" * 999 + ".parquet"], ["x" * 80 + ".parquet"]),
    ],
)
def test_a_file_is_called_by_the_last_part_of_its_path(paths: list[str], names: list[str]) -> None:
    assert [it.name for it in sources([f"https://data.example{path}" for path in paths])] == names


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst", ".TAR.GZ"])
def test_archives_have_a_folder_and_others_have_none(ending: str) -> None:
    archive, other = sources([f"https://data.example/a.b{ending}", f"https://data.example/a.b{ending}.jsonl"])
    assert (archive.folder, other.folder) == ("a.b", "")


@given(st.lists(st.text(max_size=12) | st.sampled_from(["..", ".", "%2e%2e", "%2f", "a.zip", ".zip", "a", "-rf"])))
def test_names_never_escape_and_never_meet(paths: list[str]) -> None:
    try:
        found = sources([f"https://data.example/{path}" for path in paths])
    except DownloadError:
        return  # not all of them are URLs
    places = [place for it in found for place in (it.name, it.folder) if place]
    assert len(set(places)) == len(places)
    for place in places:
        assert Path(place).name == place
        assert not place.startswith((".", "-"))
        assert len(place) < 120


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:hush@h/a",
        "file:///etc/passwd",
        "https:///hush",
        "https://u:hu/sh@h/",
        "http://[hush/",
        "hush",
        "",
        "http://h/hu\udc80",
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(DownloadError, match="URL 2 of the training data is none") as caught:
        sources(["https://data.example/a", url])
    assert caught.value.permanent
    assert "hu" not in str(caught.value)


def test_secrets_of_a_url_are_not_shown_and_its_checksum_is_not_sent() -> None:
    url = f"https://user:p%40ss@data.example:8443/a/train.jsonl?sig=hush#sha256={HEX.upper()}"
    (found,) = sources([url])
    assert found.url == "https://data.example:8443/a/train.jsonl?sig=hush"
    assert (found.user, found.sha256) == ((b"user", b"p@ss"), HEX)
    assert found.shown == shown(url) == "https://data.example:8443/a/train.jsonl"
    assert "hush" not in repr(found) + found.key
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("fragment", ["sha256=12", "sha512=" + HEX, "part", f"sha256={HEX}0"])
def test_a_fragment_that_is_no_checksum_is_refused(fragment: str) -> None:
    with pytest.raises(DownloadError, match="after its #: correct it") as caught:
        sources([f"https://data.example/a?sig=hush#{fragment}"])
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ),
        *("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),  # of clouds
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "ff0e::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "2002:a00:1::", "::127.0.0.1"),
    ],
)
def test_addresses_that_are_not_on_the_internet_are_refused(address: str) -> None:
    assert refused(address)


@pytest.mark.parametrize(
    "address", ["140.82.121.3", "2a00:1450:4001:82f::200e", "64:ff9b::8c52:7903", "::ffff:1.1.1.1"]
)
def test_addresses_on_the_internet_are_not(address: str) -> None:
    assert not refused(address)


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="127.0.0.0/8"))
def test_an_address_is_refused_however_ipv6_spells_it(address: object) -> None:
    assert all(refused(it) for it in (f"{address}", f"::ffff:{address}", f"64:ff9b::{address}"))


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7), ("3600", 60), ("", 0), ("soon", 0), ("-5", 0), ("9" * 99, 0), ("²", 0)]
)
def test_a_server_may_ask_to_wait_for_a_minute(said: str, seconds: float) -> None:
    assert waits(said) == seconds


def test_a_server_may_ask_to_wait_until_some_time() -> None:
    assert waits(formatdate(time() + 3600, usegmt=True)) == 60
    assert 0 < waits(formatdate(time() + 40, usegmt=True)) <= 40
    assert waits(formatdate(time() - 3600, usegmt=True)) == 0


def zipped(files: Mapping[str, bytes], mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def unpacked(root: Path, name: str, content: bytes, most: int = 1 << 20) -> dict[str, bytes]:
    (root / "archive").write_bytes(content)
    folder = root / "folder"
    unpack(root / "archive", name, folder, most)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {"a/b.jsonl": b"1" * 2000, "./c": b"2"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.zip", zipped(FILES)),
        ("x.tar", tar(FILES)),
        ("x.tar.gz", packed(FILES)),
        ("x.tgz", tar(FILES)),  # a server has unpacked it
        ("x.tar.zst", zstandard.compress(tar(FILES)[:700]) + zstandard.compress(tar(FILES)[700:])),
    ],
)
def test_archives_are_unpacked(tmp_path: Path, name: str, content: bytes) -> None:
    assert unpacked(tmp_path, name, content) == {"a/b.jsonl": b"1" * 2000, "c": b"2"}


def test_links_within_an_archive_are_kept(tmp_path: Path) -> None:
    members: dict[str, bytes | tarfile.TarInfo] = {
        "d/a": b"1",
        "d/s": link("d/s", "../d/a"),
        "h": link("h", "d/a", tarfile.LNKTYPE),
    }
    assert unpacked(tmp_path, "x.tar", tar(members)) == {"d/a": b"1", "d/s": b"1", "h": b"1"}
    assert (tmp_path / "folder" / "d" / "s").is_symlink()


def device(name: str) -> tarfile.TarInfo:
    return link(name, "", tarfile.CHRTYPE)


HOP = {"x": link("x", "."), "y": link("y", ".")}


@pytest.mark.parametrize(
    ("name", "content", "member"),
    [
        ("x.zip", zipped({"../evil": b"1"}), "../evil"),
        ("x.zip", zipped({"a/../../evil": b"1"}), "a/../../evil"),
        ("x.zip", zipped({"/evil": b"1"}), "/evil"),
        ("x.zip", zipped({"soft": b"/etc/passwd"}, stat.S_IFLNK | 0o777), "soft"),
        ("x.tar", tar({"../evil": b"1"}), "../evil"),
        ("x.tar", tar({"/evil": b"1"}), "/evil"),
        ("x.tar", tar({"up": link("up", "..")}), "up"),
        ("x.tar", tar({"up": link("up", "/etc")}), "up"),
        ("x.tar", tar({"up": link("up", "//etc")}), "up"),
        ("x.tar", tar({"d/up": link("d/up", "../../folder/../evil")}), "d/up"),
        ("x.tar", tar({**HOP, "up": link("up", "x/y/../../evil")}), "up"),
        ("x.tar", tar({"a/b": b"1", "d": link("d", "a"), "d/evil": b"1"}), "d/evil"),
        ("x.tar", tar({"hard": link("hard", "../archive", tarfile.LNKTYPE)}), "hard"),
        ("x.tar", tar({"hard": link("hard", "none", tarfile.LNKTYPE)}), "hard"),
        ("x.tar", tar({"null": device("null")}), "null"),
        ("x.tar", tar({"pipe": link("pipe", "", tarfile.FIFOTYPE)}), "pipe"),
    ],
)
def test_members_that_lead_outside_are_refused_by_name(tmp_path: Path, name: str, content: bytes, member: str) -> None:
    with pytest.raises(DownloadError) as caught:
        unpacked(tmp_path, name, content)
    assert caught.value.permanent
    assert repr(member) in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "folder"}
    assert not (tmp_path.parent / "evil").exists()


BOMB = {"a": bytes(90_000), "b": bytes(90_000)}


@pytest.mark.parametrize(("name", "content"), [("x.zip", zipped(BOMB)), ("x.tar.gz", packed(BOMB))])
def test_what_unpacks_to_too_much_is_refused_before_it_is_written(tmp_path: Path, name: str, content: bytes) -> None:
    assert len(content) < 1000
    with pytest.raises(DownloadError, match="unpacks to more than the 100000 bytes"):
        unpacked(tmp_path, name, content, 100_000)
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"a"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_even_empty_files_count(tmp_path: Path, kind: str) -> None:
    files = {str(number): b"" for number in range(100)}
    with pytest.raises(DownloadError, match="unpacks to more"):
        unpacked(tmp_path, f"x.{kind}", zipped(files) if kind == "zip" else tar(files), 10_000)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.zip", b"no"),
        ("x.zip", zipped({})),
        ("x.zip", zipped(FILES).replace(b"c", b"d", 1)),
        ("x.tar", b"no"),
        ("x.tar.gz", packed(FILES)[:60]),
        ("x.tar.zst", zstandard.compress(tar(FILES))[:-9]),
    ],
)
def test_what_is_broken_or_empty_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DownloadError, match=r"^x\.") as caught:
        unpacked(tmp_path, name, content)
    assert caught.value.permanent


NAMES = st.lists(st.sampled_from(["..", ".", "", "a", "b"]), min_size=1, max_size=4).map("/".join)
ENTRIES = st.tuples(NAMES, st.none() | NAMES, st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE]))


@given(st.lists(ENTRIES, max_size=6))
def test_no_archive_reaches_out(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str | None, bytes]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    inner = root / "inner"
    inner.mkdir()
    guards = [root / "a", root / "b", inner / "a", inner / "b"]
    for guard in guards:
        guard.write_bytes(b"guard")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, to, kind in entries:
            entry = link(name, to, kind) if to is not None else tarfile.TarInfo(name)
            entry.size = 0 if to is not None else 3
            archive.addfile(entry, io.BytesIO(b"new"))
    with contextlib.suppress(DownloadError):
        unpacked(inner, "x.tar", out.getvalue())
    assert [guard.read_bytes() for guard in guards] == [b"guard"] * len(guards)
    folder = inner / "folder"
    leading = [path for path in folder.rglob("*") if path.is_symlink() and path.exists()]
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in leading)


def test_last_words_are_json_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tmp_path / "words"
    monkeypatch.setenv("TERMINATION_LOG", str(words))
    last_words("fetch", "DownloadFailed", "Übel" * 9999)
    found = json.loads(words.read_text())
    assert (found["stage"], found["reason"], found["message"][:8]) == ("fetch", "DownloadFailed", "ÜbelÜbel")
    assert words.stat().st_size <= 4096


def test_last_words_that_nobody_keeps_are_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "none" / "words"))
    last_words("fetch", "DownloadFailed", "It failed.")
    monkeypatch.delenv("TERMINATION_LOG")
    monkeypatch.setattr("oci.words.LAST_WORDS", tmp_path / "kubelets")
    last_words("fetch", "DownloadFailed", "It failed.")
    assert list(tmp_path.iterdir()) == [], "a file is kubelet's to make"
    (tmp_path / "kubelets").touch()
    last_words("fetch", "DownloadFailed", "It failed.")
    assert json.loads((tmp_path / "kubelets").read_text())["message"] == "It failed."


def test_nothing_that_a_workspace_gives_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Sequence[str], bool]] = []
    monkeypatch.setattr(
        "training.download.download",
        lambda urls, target, *, most, allow_private: asked.append((urls, allow_private)),
    )
    main(["--", "data", "--allow-private", "http://10.0.0.1/a"])
    main(["--allow-private", "--", "data", "http://10.0.0.1/a"])
    assert asked == [(["--allow-private", "http://10.0.0.1/a"], False), (["http://10.0.0.1/a"], True)]
