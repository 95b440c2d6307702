"""``python -m oci.push`` against a real registry, with TLS and a user."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests

from oci import RECORD, upload
from oci.push import push
from tests.registry import INSTALLED, PASSWORD, USER, Registry, running

pytestmark = pytest.mark.skipif(not INSTALLED, reason="no registry is installed: make test-packages")
LARGE = 16 << 20  # bytes


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "adapter_config.json").write_bytes(b"{}")
    (made / "sub" / "model").write_bytes(str(tmp_path).encode() * 1000)
    (made / "sub" / "link").symlink_to("model")
    return made


def secret(host: str, folder: Path, password: str = PASSWORD) -> Path:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    file = folder.parent / ".dockerconfigjson"
    file.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return file


def run(registry: Registry, program: str, *argv: str, log: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(registry.ca), "TERMINATION_LOG": str(log or os.devnull)}
    return subprocess.run(
        [sys.executable, "-m", program, *argv], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def last(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_what_is_pushed_is_pulled_again_and_is_not_sent_twice(registry: Registry, folder: Path, tmp_path: Path) -> None:
    image, known = f"{registry.host}/team/poems:1", f"--credentials={secret(registry.host, folder)}"
    words = tmp_path / "termination-log"
    annotation = "--annotation=org.opencontainers.image.title=poems"
    first = last(run(registry, "oci.push", str(folder), image, known, annotation, log=words))
    assert (first["event"], first["sent"]) == ("push.done", first["bytes"])
    said = json.loads(words.read_text())
    assert said == {"digest": first["digest"], "image": f"{image}@{first['digest']}"}

    target = tmp_path / "target"
    pulled = last(run(registry, "oci.pull", said["image"], str(target), known))
    assert pulled["digest"] == first["digest"]
    assert {str(it.relative_to(target)) for it in target.rglob("*") if it.is_file()} == {
        "adapter_config.json",
        "sub/link",
        "sub/model",
        RECORD,
    }
    assert (target / "sub" / "link").read_bytes() == (folder / "sub" / "model").read_bytes()

    again = last(run(registry, "oci.push", str(folder), image, known, annotation))
    assert (again["digest"], again["sent"]) == (first["digest"], 0)
    for name in ("1", first["digest"]):
        manifest = json.loads(registry.manifest("team/poems", name))
        assert manifest["annotations"] == {"org.opencontainers.image.title": "poems"}


def test_whom_the_registry_does_not_know_is_told(registry: Registry, folder: Path, tmp_path: Path) -> None:
    wrong = secret(registry.host, folder, "hunter2")
    for flags, said in (
        ([], "no push secret is for it"),
        ([f"--credentials={wrong}"], "to the user of its push secret"),
    ):
        words = tmp_path / "termination-log"
        done = run(registry, "oci.push", str(folder), f"{registry.host}/team/poems:2", *flags, log=words)
        assert done.returncode == 65
        message = json.loads(words.read_text())["message"]
        assert done.stderr == f"oci.push: {message}\n"
        assert said in message
        assert "401 Unauthorized: UNAUTHORIZED authentication required" in message
        assert "tuning.output.imagePushSecret" in message
        assert "hunter2" not in done.stdout + done.stderr


def test_a_certificate_of_nobody_that_is_trusted_is_said_at_once(
    registry: Registry, folder: Path, tmp_path: Path
) -> None:
    words, stranger = tmp_path / "termination-log", Registry(registry.host, Path(certifi.where()))
    done = run(stranger, "oci.check", f"{registry.host}/team/poems:3", log=words)
    assert done.returncode == 65
    told = json.loads(words.read_text())
    assert (told["stage"], told["reason"]) == ("check", "PushRefused")
    assert f"The certificate of {registry.host}/team/poems:3's registry is not trusted here" in told["message"]
    assert "KAITO_TRUST_BUNDLE" in told["message"]
    assert "push.again" not in done.stdout


def test_whether_it_may_be_pushed_is_asked_before(registry: Registry, folder: Path, tmp_path: Path) -> None:
    image, words = f"{registry.host}/team/poems:3", tmp_path / "termination-log"
    last(run(registry, "oci.check", image, f"--credentials={secret(registry.host, folder)}"))
    with pytest.raises(requests.HTTPError, match="404"):
        registry.manifest("team/poems", "3")
    for known, said in (
        (secret(registry.host, folder, "hunter2"), "to the user of its push secret"),
        (tmp_path / "none", "its Secret is not here, or not of type kubernetes.io/dockerconfigjson"),
    ):
        done = run(registry, "oci.check", image, f"--credentials={known}", log=words)
        assert done.returncode == 65
        told = json.loads(words.read_text())
        assert (told["stage"], told["reason"]) == ("check", "PushRefused")
        assert said in told["message"]


def test_a_line_that_breaks_is_tried_again_and_no_file_is_in_memory_whole(
    registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "large").write_bytes(hashlib.shake_256(b"1").digest(LARGE))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(registry.ca))
    waits: list[int] = []
    monkeypatch.setattr(upload, "wait", lambda number, _: waits.append(number))
    with breaking(registry.host, after=LARGE // 2) as host:
        known = secret(host, folder)
        tracemalloc.start()
        pushed = push(folder, f"{host}/team/large:1", [known])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert waits == [1]
    assert peak < LARGE // 4
    layer = json.loads(registry.manifest("team/large", pushed))["layers"][0]
    assert layer["size"] > LARGE


@contextmanager
def breaking(host: str, after: int) -> Iterator[str]:
    """A way to the registry that breaks once: the connection that has brought so many bytes."""
    name, _, port = host.partition(":")
    left = [1]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def carry(source: socket.socket, to: socket.socket, most: int | None) -> None:
            carried = 0
            with suppress(OSError):
                while content := source.recv(1 << 16):
                    carried += len(content)
                    if most is not None and carried > most and left:
                        left.pop()
                        break
                    to.sendall(content)
            _close(source, to)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    there = socket.create_connection((name, int(port)))
                    for source, to, most in ((client, there, after), (there, client, None)):
                        threading.Thread(target=carry, args=(source, to, most), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        _close(server)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
