"""``training.download`` from servers that break off, refuse, lie and lead elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kaito.embedded import certificates
from kaito.embedded.certificates import Identity
from tests.images import link, packed, tar
from training import connection, transfer
from training.connection import session
from training.download import DownloadError, download, main
from training.sources import sources
from training.transfer import Transfer

LARGE = hashlib.shake_256(b"1").digest(300_000)
CUT = 100_000
PIECE = 65536  # what of CUT is on the disk
CHECKSUM = hashlib.sha256(LARGE).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """``cut`` bytes come before the line breaks; with ``ranges`` the server goes on where it is asked to."""

    status: int = 200
    body: bytes = LARGE
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True


class Scripted(ThreadingHTTPServer):
    """Answers each path by its replies, the last of them for ever, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: dict[str, list[Reply]] = {}
        self.seen: list[tuple[str, Mapping[str, str]]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, *replies: Reply) -> str:
        self.script[path] = list(replies)
        return f"http://127.0.0.1:{self.port}{path}"

    def asked(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, headers in self.seen]


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        replies = self.server.script[self.path.partition("?")[0]]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        at = int(wanted[1]) if wanted and reply.ranges and reply.status == 200 else 0
        self.send_response(206 if at else reply.status)
        told = {"Content-Length": str(len(reply.body) - at), **reply.headers}
        if at:
            told.setdefault("Content-Range", f"bytes {at}-{len(reply.body) - 1}/{len(reply.body)}")
        for name, value in told.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[at : reply.cut])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    made = Scripted()
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    waited: list[float] = []
    monkeypatch.setattr(transfer, "pause", waited.append)
    return waited


def fetch(target: Path, *urls: str, **more: Any) -> None:
    download(urls, target, allow_private=True, **more)


def found(target: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file() and path.name != ".downloaded.json"
    }


TAGGED = {"ETag": '"1"'}


def test_files_come_under_their_names_and_without_their_secrets(server: Scripted, tmp_path: Path) -> None:
    first = server.url("/a/train.jsonl", Reply(body=b"1"))
    second = server.url("/b/train.jsonl", Reply(body=b"2")).replace("//", "//user:pass@", 1)
    fetch(tmp_path / "deep" / "data", f"{first}?sig=hush#sha256={hashlib.sha256(b'1').hexdigest()}", second)
    assert found(tmp_path / "deep" / "data") == {"train.jsonl": b"1", "train-2.jsonl": b"2"}
    assert [path for path, _ in server.seen] == ["/a/train.jsonl?sig=hush", "/b/train.jsonl"]
    assert server.asked("Authorization") == [None, "Basic dXNlcjpwYXNz"]


@pytest.mark.parametrize("headers", [TAGGED, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": 'W/"1"'}])
def test_where_the_line_breaks_it_goes_on_from_there(
    server: Scripted, tmp_path: Path, headers: dict[str, str], pauses: list[float]
) -> None:
    fetch(tmp_path, server.url("/a", Reply(headers=headers, cut=CUT), Reply(headers=headers)))
    assert found(tmp_path) == {"a": LARGE}
    assert server.asked("Range") == [None, f"bytes={PIECE}-"]
    assert server.asked("If-Range") == [None, headers.get("Last-Modified", '"1"')]
    assert pauses == [1]


@pytest.mark.parametrize(
    ("replies", "ranges"),
    [
        ([Reply(cut=CUT), Reply()], [None, None]),  # nothing to know it by
        ([Reply(headers={"ETag": 'W/"1"'}, cut=CUT), Reply()], [None, None]),
        ([Reply(headers=TAGGED, cut=CUT), Reply(ranges=False)], [None, "bytes=65536-"]),
        ([Reply(headers=TAGGED, cut=CUT), Reply(416, b""), Reply()], [None, "bytes=65536-", None]),
        (
            [Reply(headers=TAGGED, cut=CUT), Reply(headers={"Content-Range": "bytes 0-299999/300000"}), Reply()],
            [None, "bytes=65536-", None],
        ),
    ],
)
def test_where_a_server_cannot_go_on_it_begins_anew(
    server: Scripted, tmp_path: Path, replies: list[Reply], ranges: list[str | None]
) -> None:
    fetch(tmp_path, f"{server.url('/a', *replies)}#sha256={CHECKSUM}")
    assert found(tmp_path) == {"a": LARGE}
    assert server.asked("Range") == ranges


def test_a_server_that_is_busy_is_asked_again_when_it_says(
    server: Scripted, tmp_path: Path, pauses: list[float]
) -> None:
    busy = [Reply(503, b""), Reply(429, b"", {"Retry-After": "9"}), Reply(500, b"", {"Retry-After": "999"})]
    fetch(tmp_path, server.url("/a", *busy, Reply(body=b"1")))
    assert found(tmp_path) == {"a": b"1"}
    assert pauses == [1, 9, 60]


@pytest.mark.parametrize("reply", [Reply(503, b""), Reply(cut=10), Reply(headers={"Content-Length": "9" * 12})])
def test_after_five_tries_it_is_given_up_and_may_pass(
    server: Scripted, tmp_path: Path, reply: Reply, pauses: list[float]
) -> None:
    with pytest.raises(DownloadError, match="It was tried 5 times") as caught:
        fetch(tmp_path, server.url("/a", reply), most=10**13)
    assert not caught.value.permanent
    assert pauses == [1, 2, 4, 8]
    assert list(tmp_path.iterdir()) == []


def test_nobody_who_listens_may_pass(server: Scripted, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(
        DownloadError, match=rf"http://127.0.0.1:{port}/a cannot be read \(Connection refused\)"
    ) as caught:
        fetch(tmp_path, f"http://user:pass@127.0.0.1:{port}/a?sig=hush")
    assert not caught.value.permanent
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "signed URL"), (403, "still good"), (404, "correct the URL"), (206, "the file itself")]
)
def test_an_answer_that_no_try_mends_is_told_without_secrets(
    server: Scripted, tmp_path: Path, pauses: list[float], status: int, advice: str
) -> None:
    url = server.url("/a", Reply(status, b"secret"))
    with pytest.raises(DownloadError, match=f"answers {status} for {url}: .*{advice}") as caught:
        fetch(tmp_path, f"{url.replace('//', '//user:pass@', 1)}?sig=hush")
    assert caught.value.permanent
    assert not re.search("hush|pass@|secret", str(caught.value))
    assert (len(server.seen), pauses) == (1, [])


def test_empty_files_and_wrong_ones_are_refused_and_leave_nothing(server: Scripted, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is empty") as empty:
        fetch(tmp_path, server.url("/a", Reply(body=b"")))
    with pytest.raises(DownloadError, match=f"has the checksum sha256={CHECKSUM}, which is not the one") as wrong:
        fetch(tmp_path, f"{server.url('/a', Reply())}#sha256={'0' * 64}")
    assert empty.value.permanent
    assert wrong.value.permanent
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}])
def test_all_files_together_have_a_limit_whether_or_not_a_server_says_their_size(
    server: Scripted, tmp_path: Path, headers: dict[str, str]
) -> None:
    first, second = server.url("/a", Reply(body=b"1" * 10)), server.url("/b", Reply(headers=headers))
    fetch(tmp_path / "fits", first, second, most=300_010)
    with pytest.raises(DownloadError, match="is too large: 299999 bytes are left") as caught:
        fetch(tmp_path / "more", first, second, most=300_009)
    assert caught.value.permanent
    assert found(tmp_path / "more") == {"a": b"1" * 10}


def test_what_is_there_is_not_fetched_again(server: Scripted, tmp_path: Path) -> None:
    urls = [server.url("/a", Reply(body=b"1")), server.url("/b.tar", Reply(body=tar({"c": b"2"})))]
    gone = server.url("/gone", Reply(404, b""))
    with pytest.raises(DownloadError):
        fetch(tmp_path, *urls, gone)
    (tmp_path / ".gone.part").write_bytes(b"killed")
    server.url("/gone", Reply(body=b"3"))
    fetch(tmp_path, *urls, gone)
    assert [path for path, _ in server.seen] == ["/a", "/b.tar", "/gone", "/gone"]
    assert found(tmp_path) == {"a": b"1", "b/c": b"2", "gone": b"3"}


def test_what_is_there_of_another_size_or_url_is_fetched_again(server: Scripted, tmp_path: Path) -> None:
    url = server.url("/a", Reply(body=b"1"), Reply(body=b"22"), Reply(body=b"333"))
    fetch(tmp_path, url)
    (tmp_path / "a").write_bytes(b"")
    fetch(tmp_path, url)
    assert found(tmp_path) == {"a": b"22"}
    fetch(tmp_path, f"{url}?version=2")
    assert found(tmp_path) == {"a": b"333"}


def test_what_somebody_else_has_put_there_stays(server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"thesis")
    with pytest.raises(DownloadError, match="is there already, and not from here"):
        fetch(tmp_path, server.url("/a", Reply()))
    assert found(tmp_path) == {"a": b"thesis"}


def test_a_directory_that_cannot_be_written_is_named(server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"file cannot be written .* look at the volume") as caught:
        fetch(tmp_path / "file", server.url("/a", Reply()))
    assert caught.value.permanent


def test_redirects_are_followed_and_passwords_stay_where_they_belong(server: Scripted, tmp_path: Path) -> None:
    server.url("/end", Reply(body=b"1"))
    start = server.url("/a", Reply(302, b"", {"Location": "/b"})).replace("//", "//user:pass@", 1)
    server.url("/b", Reply(307, b"", {"Location": f"http://localhost:{server.port}/end"}))
    fetch(tmp_path, start)
    assert found(tmp_path) == {"a": b"1"}
    assert server.asked("Authorization") == ["Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz", None]


@pytest.mark.parametrize("times", [10, 11])
def test_ten_redirects_are_enough(server: Scripted, tmp_path: Path, times: int) -> None:
    url = server.url("/a", *[Reply(302, b"", {"Location": "/a"})] * times, Reply(body=b"1"))
    if times > 10:
        with pytest.raises(DownloadError, match="leads on more than 10 times"):
            fetch(tmp_path, url)
    else:
        fetch(tmp_path, url)
    assert len(server.seen) == 11


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://h/a?sig=hush", "http://[hush", "http://h:99999/hush"]
)
def test_redirects_lead_to_http_only(server: Scripted, tmp_path: Path, location: str) -> None:
    with pytest.raises(DownloadError, match="leads to what is neither http nor https") as caught:
        fetch(tmp_path, server.url("/a", Reply(302, b"", {"Location": location})))
    assert caught.value.permanent
    assert "hush" not in str(caught.value)


@pytest.fixture
def authority(server: Scripted, tmp_path: Path) -> Path:
    """The server speaks TLS, with a certificate of this authority."""
    made = certificates.ensure(tmp_path / "certificates", identities={"it": Identity("it", server=True)})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate("it"), made.key("it"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return made.ca


def test_https_is_left_for_nothing_less(server: Scripted, tmp_path: Path, authority: Path) -> None:
    (source,) = sources(
        [server.url("/a", Reply(302, b"", {"Location": "http://h/a?sig=hush"})).replace("http", "https")]
    )
    with session(allow_private=True) as line:
        line.verify = str(authority)
        transferring = Transfer(line, source, tmp_path / "a", 1, lambda *_: None)
        with pytest.raises(DownloadError, match="leads to http://h/a, where anybody can read") as caught:
            transferring.run()
    assert caught.value.permanent


def test_a_server_whose_certificate_is_nobodys_is_not_asked(server: Scripted, tmp_path: Path, authority: Path) -> None:
    with pytest.raises(DownloadError, match="certificate verify failed") as caught:
        fetch(tmp_path / "data", server.url("/a", Reply()).replace("http", "https"))
    assert caught.value.permanent
    assert server.seen == []


def test_a_server_is_asked_that_the_installation_trusts(
    server: Scripted, tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    fetch(tmp_path / "data", server.url("/a", Reply(200, b"it")).replace("http", "https"))
    assert (tmp_path / "data" / "a").read_bytes() == b"it"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_not_asked(server: Scripted, tmp_path: Path, scheme: str, host: str) -> None:
    server.url("/a", Reply())
    with pytest.raises(DownloadError, match="which is no public address") as caught:
        download([f"{scheme}://{host}:{server.port}/a"], tmp_path)
    assert caught.value.permanent
    assert server.seen == []


@pytest.fixture
def names(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each name's address is, look-up after look-up; whatever is connected to is the server."""
    known: dict[str, list[str]] = {}

    def look_up(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host].pop(0), port))]

    def connect(address: tuple[str, int], *_: Any) -> socket.socket:
        known.setdefault("connected", []).append(address[0])
        made = socket.socket()
        made.connect(("127.0.0.1", server.port))
        return made

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(connection, "create_connection", connect)
    return known


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    server: Scripted, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    server.url("/a", Reply(body=b"1"))
    names |= {"data.example": ["1.1.1.1", "127.0.0.1"]}
    download(["http://data.example/a"], tmp_path)
    assert found(tmp_path) == {"a": b"1"}
    assert names["connected"] == ["1.1.1.1"]
    assert names["data.example"] == ["127.0.0.1"], "it is looked up once"


def test_redirects_do_not_lead_into_the_cluster(server: Scripted, tmp_path: Path, names: dict[str, list[str]]) -> None:
    server.url("/a", Reply(302, b"", {"Location": "http://metadata.internal/token"}))
    names |= {"data.example": ["1.1.1.1"], "metadata.internal": ["169.254.169.254"]}
    with pytest.raises(DownloadError, match=r"metadata.internal is at 169.254.169.254, which is no public") as caught:
        download(["http://data.example/a"], tmp_path)
    assert caught.value.permanent
    assert [path for path, _ in server.seen] == ["/a"]


def test_proxies_and_passwords_of_the_environment_are_not_used(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password pass")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fetch(tmp_path / "data", server.url("/a", Reply(body=b"1")))
    assert server.asked("Authorization") == [None]


def test_archives_become_folders(server: Scripted, tmp_path: Path) -> None:
    fetch(tmp_path, server.url("/a.tar.gz", Reply(body=packed({"x/b.jsonl": b"1"}))))
    assert found(tmp_path) == {"a/x/b.jsonl": b"1"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (tar({"../evil": b"1"}), r"member '\.\./evil'"),
        (tar({"up": link("up", "../.."), "up/evil": b"1"}), "member 'up'"),
        (packed({"bomb": bytes(2_000_000)}), "unpacks to more than"),
    ],
)
def test_archives_that_reach_out_or_grow_without_end_leave_nothing(
    server: Scripted, tmp_path: Path, body: bytes, said: str
) -> None:
    with pytest.raises(DownloadError, match=said) as caught:
        fetch(tmp_path / "data", server.url("/a.tar", Reply(body=body)), most=1_000_000)
    assert caught.value.permanent
    assert list((tmp_path / "data").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_what_a_server_encodes_although_not_asked_to_is_decoded(server: Scripted, tmp_path: Path) -> None:
    headers = {**TAGGED, "Content-Encoding": "gzip"}
    body = gzip.compress(LARGE)
    fetch(tmp_path, server.url("/a", Reply(body=body, headers=headers, cut=CUT), Reply(body=body, headers=headers)))
    assert found(tmp_path) == {"a": LARGE}
    assert server.asked("Range") == [None, None]


@pytest.mark.parametrize(("status", "code"), [(404, 65), (503, 1)])
def test_the_command_ends_with_last_words(
    server: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    code: int,
) -> None:
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "words"))
    url = server.url("/a", Reply(status, b""))
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "data"), "--allow-private", f"{url}?sig=hush"])
    said = json.loads((tmp_path / "words").read_text())
    assert caught.value.code == code
    assert (said["stage"], said["reason"]) == ("fetch", "DownloadFailed")
    assert f"answers {status} for {url}" in said["message"]
    printed = capsys.readouterr()
    assert said["message"] in printed.err
    assert "hush" not in printed.out + printed.err + said["message"]


def test_the_command_tells_its_progress(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.download._EVERY", 0.0)
    urls = [server.url("/a", Reply()), server.url("/b", Reply(body=b"1"))]
    main(["--most=300001", "--allow-private", str(tmp_path / "data"), *urls])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    progress = [it for it in lines if it["event"] == "download.progress" and it["file"] == "a"]
    assert [it["bytes"] for it in progress] == [PIECE, 2 * PIECE, 3 * PIECE, 4 * PIECE, len(LARGE)]
    assert {it["of"] for it in progress} == {len(LARGE)}
    assert (lines[-1]["event"], lines[-1]["files"], lines[-1]["bytes"]) == ("download.done", 2, 300_001)
    assert lines[-1]["seconds"] >= 0
