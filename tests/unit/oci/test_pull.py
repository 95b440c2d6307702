"""Pulling from a registry that breaks off, lies, or asks who is there. A real one is in tests/integration/oci."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from oci import RECORD, access, registry
from oci.pull import PullError, main, pull
from tests.images import Image, digest, index, packed, tar

POEMS = Image([packed({"bin/sh": b"no"}), packed({"data/adapter_config.json": b"{}", "data/model": bytes(5000)})])
USER = "kaito:secret"


class Scripted(ThreadingHTTPServer):
    """One repository, ``poems``. ``broken`` bytes of a blob come before the line breaks, so many times."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manifests: dict[str, bytes] = {"1": POEMS.manifest}
        self.blobs = POEMS.blobs
        self.broken, self.times = 0, 0
        self.tokens = False
        self.seen: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        path, headers = self.path, self.headers
        self.server.seen.append((path, headers.get("Range")))
        if path.startswith("/token"):
            known = headers.get("Authorization") == f"Basic {base64.b64encode(USER.encode()).decode()}"
            self._say(200 if known else 401, json.dumps({"token": "good"}).encode() if known else b"")
        elif self.server.tokens and headers.get("Authorization") != "Bearer good":
            realm = f'Bearer realm="http://{self.server.host}/token",service="it",scope="repository:poems:pull"'
            self._say(401, b"", {"WWW-Authenticate": realm})
        elif path == "/v2/":
            self._say(200, b"{}")
        elif (found := re.fullmatch(r"/v2/poems/(manifests|blobs)/(.+)", path)) is None:
            self._say(404, b"{}")
        elif found[1] == "manifests":
            body = self.server.manifests.get(found[2])
            self._say(404 if body is None else 200, body or b"{}")
        else:
            self._blob(self.server.blobs[found[2]])

    def _blob(self, body: bytes) -> None:
        at = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        breaks = self.server.times > 0 and len(body) > self.server.broken
        if breaks:
            self.server.times -= 1
        self._say(206 if at else 200, body[at:], cut=self.server.broken if breaks else None)

    def _say(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(access, "_PAUSE", 0.01)
    server = Scripted()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def credentials(scripted: Scripted, tmp_path: Path) -> Path:
    file = tmp_path / ".dockerconfigjson"
    user, _, password = USER.partition(":")
    auths = {"other.example": {}, f"https://{scripted.host}/v1/": {"username": user, "password": password}}
    file.write_text(json.dumps({"auths": auths}))
    return file


def fetch(scripted: Scripted, target: Path, name: str = "poems:1", *credentials: Path) -> str:
    return pull(f"{scripted.host}/{name}", "data", target, credentials, plain_http=True)


def test_the_folder_is_there_with_its_digest(scripted: Scripted, tmp_path: Path) -> None:
    found = fetch(scripted, tmp_path / "deep" / "poems")
    assert found == digest(POEMS.manifest)
    folder = tmp_path / "deep" / "poems"
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "model", RECORD}
    record = json.loads((folder / RECORD).read_text())
    assert (record["digest"], record["bytes"]) == (found, sum(map(len, POEMS.layers)))
    scripted.manifests[found] = POEMS.manifest
    assert fetch(scripted, tmp_path / "by-digest", f"poems@{found}") == found


def test_where_the_line_breaks_it_goes_on_from_there(scripted: Scripted, tmp_path: Path) -> None:
    content = hashlib.shake_256(b"1").digest(600_000)
    large = Image([packed({"data/random": content})])
    scripted.manifests["2"], scripted.blobs = large.manifest, large.blobs
    scripted.broken, scripted.times = 200_000, 2
    fetch(scripted, tmp_path / "poems", "poems:2")
    asked = [wanted for path, wanted in scripted.seen if "/blobs/" in path]
    assert asked == [None, "bytes=196608-", "bytes=393216-"], "whole pieces of 64 KiB"
    assert (tmp_path / "poems" / "random").read_bytes() == content


def test_it_is_given_up_after_some_tries_and_nothing_is_left(scripted: Scripted, tmp_path: Path) -> None:
    scripted.broken, scripted.times = 10, 99
    with pytest.raises(PullError, match="broke off 5 times"):
        fetch(scripted, tmp_path / "poems")
    assert list((tmp_path / "poems").iterdir()) == []


@pytest.mark.parametrize("size", ["same", "longer"])
def test_what_is_not_what_its_digest_says_is_not_taken(scripted: Scripted, tmp_path: Path, size: str) -> None:
    changed = {name: bytes(len(blob)) + (b"1" if size == "longer" else b"") for name, blob in POEMS.blobs.items()}
    scripted.blobs = changed
    with pytest.raises(PullError, match=r"has been changed on its way|larger than it is said to be"):
        fetch(scripted, tmp_path / "poems")
    scripted.manifests[digest(b"another")] = POEMS.manifest
    with pytest.raises(PullError, match=r"the manifest of .* has been changed"):
        fetch(scripted, tmp_path / "poems", f"poems@{digest(b'another')}")


def test_of_several_platforms_it_takes_this_machines(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"unknown/unknown": b"{}", "linux/arm64": Image([]).manifest, "linux/amd64": POEMS.manifest}
    scripted.manifests |= {digest(it): it for it in images.values()} | {"2": index(images)}
    for machine in ("amd64", "s390x"):
        monkeypatch.setattr(registry, "_machine", lambda machine=machine: machine)
        if machine == "amd64":
            assert fetch(scripted, tmp_path / machine, "poems:2") == digest(POEMS.manifest)
        else:
            with pytest.raises(PullError, match="has no files in /data; at its top it has nothing"):
                fetch(scripted, tmp_path / machine, "poems:2")


def test_a_token_is_asked_for_as_the_pull_secrets_user(scripted: Scripted, tmp_path: Path, credentials: Path) -> None:
    scripted.tokens = True
    assert fetch(scripted, tmp_path / "poems", "poems:1", credentials) == digest(POEMS.manifest)
    with pytest.raises(PullError, match=r"asks who wants .* and no pull secret is for it"):
        fetch(scripted, tmp_path / "nobody")
    credentials.write_text(json.dumps({"auths": {scripted.host: {"auth": base64.b64encode(b"kaito:no").decode()}}}))
    with pytest.raises(PullError, match=r"refuses .* to the user of its pull secret"):
        fetch(scripted, tmp_path / "another", "poems:1", credentials)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("poems:9", "There is no .*/poems:9: the registry has nothing by that name"),
        ("poems:empty", "has no files in /data; at its top it has bin"),
        ("poems:odd", "is of a kind that is not known here"),
        ("poems:junk", "with what is no manifest"),
    ],
)
def test_what_is_not_there_is_said(scripted: Scripted, tmp_path: Path, name: str, said: str) -> None:
    empty = Image([tar({"bin/sh": b"1"})])
    scripted.blobs = {**scripted.blobs, **empty.blobs}
    scripted.manifests |= {"empty": empty.manifest, "odd": b"{}", "junk": b"<html>"}
    with pytest.raises(PullError, match=said):
        fetch(scripted, tmp_path / "poems", name)


def test_what_names_no_registry_or_an_unreachable_one_is_refused(scripted: Scripted, tmp_path: Path) -> None:
    with pytest.raises(PullError, match="'poems:1' names no registry"):
        pull("poems:1", "data", tmp_path / "poems")
    with pytest.raises(PullError, match="is no image reference"):
        pull("///", "data", tmp_path / "poems")
    with pytest.raises(PullError, match="cannot be reached"):
        pull(f"{scripted.host}/poems:1", "data", tmp_path / "poems")  # it speaks no TLS


def test_a_pull_that_was_killed_is_begun_anew_and_nothing_else_is_overwritten(
    scripted: Scripted, tmp_path: Path
) -> None:
    killed, mine = tmp_path / "killed", tmp_path / "mine"
    (killed / ".pull-x" / "made").mkdir(parents=True)
    (killed / "model").write_bytes(b"half")
    fetch(scripted, killed)
    assert (killed / "model").read_bytes() == bytes(5000)
    mine.mkdir()
    (mine / "thesis").write_bytes(b"1")
    with pytest.raises(PullError, match="is not empty"):
        fetch(scripted, mine)
    assert (mine / "thesis").exists()


def test_secrets_that_are_none_are_named(scripted: Scripted, tmp_path: Path) -> None:
    for text in ("{", "[]", json.dumps({"auths": {scripted.host: {"username": "kaito"}}})):
        (tmp_path / "secret").write_text(text)
        with pytest.raises(PullError, match=r"secret is no \.dockerconfigjson"):
            fetch(scripted, tmp_path / "poems", "poems:1", tmp_path / "secret")


def test_the_command_says_in_its_last_words_what_is_wrong(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "termination-log"
    words.touch()
    monkeypatch.setattr("oci.pull.LAST_WORDS", words)
    with pytest.raises(SystemExit, match="There is no"):
        main([f"{scripted.host}/poems:9", str(tmp_path / "poems"), "--plain-http"])
    assert "There is no" in words.read_text()
    main([f"{scripted.host}/poems:1", str(tmp_path / "poems"), "--plain-http", "--folder=/data/"])
    assert (tmp_path / "poems" / "model").is_file()
