"""Pushing to a registry that refuses, breaks off or asks who is there. A real one is in tests/integration/oci."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci import access, progress, upload
from oci.push import PushError, main, push
from tests.images import digest
from tests.unit.oci.uploads import USER, Answer, Scripted, errors


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float | None]]:
    """Before which tries it would have waited, and for what the registry asked."""
    made: list[tuple[int, float | None]] = []
    monkeypatch.setattr(upload, "wait", lambda number, after: made.append((number, after)))
    return made


@pytest.fixture
def scripted(waits: list[tuple[int, float | None]]) -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "folder" / "model").write_bytes(bytes(5000))
    return tmp_path / "folder"


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TERMINATION_LOG", str(tmp_path / "termination-log"))
    return tmp_path / "termination-log"


def credentials(scripted: Scripted, folder: Path, user: str = USER) -> Path:
    file = folder.parent / ".dockerconfigjson"
    file.write_text(json.dumps({"auths": {scripted.host: {"auth": base64.b64encode(user.encode()).decode()}}}))
    return file


def send(scripted: Scripted, folder: Path, *credentials: Path, name: str = "poems:1") -> str:
    return push(folder, f"{scripted.host}/{name}", credentials, {"a": "1"}, plain_http=True)


def test_what_is_pushed_is_there_by_tag_and_digest(scripted: Scripted, folder: Path) -> None:
    pushed = send(scripted, folder)
    assert scripted.manifests["1"] == scripted.manifests[pushed]
    manifest = json.loads(scripted.manifests[pushed])
    assert manifest["annotations"] == {"a": "1"}
    assert {manifest["config"]["digest"], manifest["layers"][0]["digest"]} == set(scripted.blobs)


def test_what_is_there_is_not_sent_again(scripted: Scripted, folder: Path) -> None:
    first = send(scripted, folder)
    scripted.seen.clear()
    assert send(scripted, folder) == first
    assert scripted.seen == ["GET v2", "HEAD blobs", "HEAD blobs", "PUT manifests", "GET manifests"]


def test_an_upload_that_breaks_off_is_sent_anew(
    scripted: Scripted, folder: Path, waits: list[tuple[int, float | None]]
) -> None:
    scripted.breaks = 4
    pushed = send(scripted, folder)
    assert digest(scripted.manifests["1"]) == pushed
    assert waits == [(1, None), (2, None), (3, None), (4, None)]


PASSING = [(503, {}, b""), (429, {"Retry-After": "7"}, b""), (500, {"Retry-After": "soon"}, b"")]


@pytest.mark.parametrize(
    "asked",
    ["GET v2", "HEAD blobs", "POST blobs", "PUT blobs", "PUT manifests", "GET manifests", "GET token"],
)
def test_what_passes_is_waited_for(
    scripted: Scripted, folder: Path, waits: list[tuple[int, float | None]], asked: str
) -> None:
    scripted.tokens = asked == "GET token"
    scripted.script[asked] = list(PASSING)
    assert send(scripted, folder, credentials(scripted, folder)) == digest(scripted.manifests["1"])
    after = None if asked == "GET manifests" else 7.0
    assert waits == [(1, None), (2, after), (3, None)]


@pytest.mark.parametrize(
    ("asked", "lost"),
    [
        ("PUT blobs", errors(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")),
        ("PUT blobs", errors(400, "DIGEST_INVALID", "digest did not match")),
        ("PUT manifests", errors(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown")),
        ("GET manifests", (404, {}, b"")),
        ("GET manifests", (200, {}, b"{}")),
    ],
)
def test_what_a_registry_loses_is_sent_anew(
    scripted: Scripted, folder: Path, waits: list[tuple[int, float | None]], asked: str, lost: Answer
) -> None:
    scripted.script[asked] = [lost]
    assert send(scripted, folder) == digest(scripted.manifests["1"])
    assert len(waits) == 1


def test_waits_grow_and_are_as_long_as_the_registry_says() -> None:
    assert [access.pause(number) for number in range(1, access.TRIES)] == [1, 2, 4, 8]
    assert (access.pause(3, 0), access.pause(1, 7), access.pause(1, 600)) == (0, 7, 60)


def test_it_is_given_up_after_some_tries(scripted: Scripted, folder: Path, words: Path) -> None:
    scripted.breaks = 99
    with pytest.raises(SystemExit) as left:
        main([str(folder), f"{scripted.host}/poems:1", "--plain-http"])
    assert left.value.code == 1
    assert scripted.seen.count("PUT blobs") == 5
    said = json.loads(words.read_text())
    assert (said["stage"], said["reason"]) == ("push", "PushFailed")
    assert "cannot be reached" in said["message"]


def test_what_opens_an_upload_is_not_told(
    scripted: Scripted, folder: Path, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.elsewhere = "127.0.0.1:1"  # where nobody is
    with pytest.raises(SystemExit):
        main([str(folder), f"{scripted.host}/poems:1", "--plain-http"])
    assert "url: /v2/poems/blobs/uploads/1 (" in words.read_text()
    assert "hidden" not in words.read_text() + "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        (
            "POST blobs",
            errors(403, "DENIED", "not yours"),
            "refuses .*: 403 Forbidden: DENIED not yours.* its user may",
        ),
        ("POST blobs", errors(404, "NAME_UNKNOWN", "no such repository"), "NAME_UNKNOWN no such .*tuning.output.image"),
        ("PUT blobs", (413, {}, b"<html>"), "does not take .*: 413 "),
        ("PUT manifests", errors(400, "MANIFEST_INVALID", "odd"), "does not take .*: 400 .*MANIFEST_INVALID odd"),
        ("PUT manifests", (403, {"WWW-Authenticate": "Basic"}, b'{"errors": 1}'), "refuses .*: 403 Forbidden"),
    ],
)
def test_what_is_refused_is_said_in_the_registrys_words(
    scripted: Scripted, folder: Path, waits: list[tuple[int, float | None]], asked: str, answer: Answer, said: str
) -> None:
    scripted.script[asked] = [answer] * 3
    with pytest.raises(PushError, match=said) as caught:
        send(scripted, folder, credentials(scripted, folder))
    assert caught.value.permanent
    assert f"127.0.0.1:{scripted.server_address[1]}" in str(caught.value)
    assert waits == []


def test_a_token_is_asked_for_for_each_right(scripted: Scripted, folder: Path) -> None:
    scripted.tokens = True
    pushed = send(scripted, folder, credentials(scripted, folder))
    assert digest(scripted.manifests["1"]) == pushed
    assert scripted.authorized == ["Bearer pull,push"] * 2


def test_who_is_not_known_is_told_and_no_secret_is(
    scripted: Scripted, folder: Path, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.tokens = True
    for flags, said in (
        ([], "asks who pushes .*Name one in tuning.output.imagePushSecret"),
        (
            [f"--credentials={credentials(scripted, folder, 'kaito:hunter2')}"],
            "refuses .*who.*Check tuning.output.image",
        ),
    ):
        with pytest.raises(SystemExit) as left:
            main([str(folder), f"{scripted.host}/poems:1", "--plain-http", *flags])
        assert left.value.code == 65
        last = json.loads(words.read_text())
        assert last["reason"] == "PushRefused"
        assert re.search(said, last["message"])
        shown = "".join(capsys.readouterr()) + words.read_text()
        assert "hunter2" not in shown
        assert base64.b64encode(b"kaito:hunter2").decode() not in shown


def test_an_upload_that_is_to_go_elsewhere_has_no_secret(scripted: Scripted, folder: Path) -> None:
    scripted.elsewhere = f"localhost:{scripted.server_address[1]}"
    scripted.script["POST blobs"] = [(401, {"WWW-Authenticate": _realm(scripted)}, b"")]
    send(scripted, folder, credentials(scripted, folder))
    assert scripted.authorized == [None, None]


def _realm(scripted: Scripted) -> str:
    return f'Bearer realm="http://{scripted.host}/token",service="it",scope="repository:poems:pull,push"'


@pytest.mark.parametrize("kind", ["empty", "missing", "leads-out"])
def test_a_folder_that_makes_no_image_is_refused_before_the_registry_is_asked(
    scripted: Scripted, folder: Path, words: Path, kind: str
) -> None:
    (folder.parent / "empty").mkdir()
    (folder.parent / "leads-out").mkdir()
    (folder.parent / "leads-out" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SystemExit) as left:
        main([str(folder.parent / kind), f"{scripted.host}/poems:1", "--plain-http"])
    assert left.value.code == 65
    assert kind in json.loads(words.read_text())["message"]
    assert scripted.seen == []


def test_what_is_pushed_goes_to_a_tag_of_a_registry(folder: Path) -> None:
    for reference, said in ((f"it.example/poems@{digest(b'')}", "names a digest"), ("poems:1", "names no registry")):
        with pytest.raises(PushError, match=said) as caught:
            push(folder, reference)
        assert caught.value.permanent


def test_the_command_tells_how_far_it_is_and_what_came_of_it(
    scripted: Scripted, folder: Path, words: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    image = f"{scripted.host}/poems:1"
    main([str(folder), image, "--plain-http", "--annotation=a=1=2", "--annotation=b="])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    done = lines[-1]
    pushed = digest(scripted.manifests["1"])
    assert {line["event"] for line in lines} == {"push.packing", "push.progress", "push.done"}
    assert (done["digest"], done["sent"]) == (pushed, done["bytes"])
    assert done["seconds"] >= 0
    assert json.loads(words.read_text()) == {"digest": pushed, "image": f"{image}@{pushed}"}
    assert json.loads(scripted.manifests["1"])["annotations"] == {"a": "1=2", "b": ""}
    with pytest.raises(SystemExit):
        main([str(folder), image, "--annotation=a"])
    assert "'a' is not KEY=VALUE" in capsys.readouterr().err
