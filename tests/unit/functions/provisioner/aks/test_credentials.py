"""Whose word Azure gets: the real azure-identity, with stand-ins of what a node or a developer's machine has."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError, classify
from functions.provisioner.settings import ManagedCluster
from kaito.embedded.arm.emulator import Arm
from kaito.embedded.arm.transport import transport

PUBLIC, GOVERNMENT = "https://management.azure.com", "https://management.usgovcloudapi.net"


class Metadata(BaseHTTPRequestHandler):
    """A machine's metadata service: gives the token of its managed identity."""

    asked: list[Mapping[str, list[str]]]

    def do_GET(self) -> None:
        self.asked.append(parse_qs(urlsplit(self.path).query))
        known = self.headers.get("Metadata") == "true"
        content = {"access_token": "of-the-machine", "expires_in": "3600", "resource": "r", "token_type": "Bearer"}
        body = json.dumps(content if known else {"error": "invalid_request"}).encode()
        self.send_response(200 if known else 400)  # as it answers the probe, too
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mapping[str, list[str]]]]:
    Metadata.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{server.server_port}")
        yield Metadata.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that is none of Azure's and where nobody is known; returns the folder of its programs."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return programs


def pools(arm: Arm, endpoint: str = "") -> Pools:
    return Pools.of(ManagedCluster("s-1", "rg", "cluster", endpoint), transport=transport(arm))


def emulator() -> Arm:
    return Arm("s-1", "rg", "cluster", lambda: 0.0)


def said(arm: Arm) -> list[str]:
    """By whom the emulator was asked."""
    return [request.headers["authorization"] for request, _ in arm.log]


@pytest.mark.parametrize(("endpoint", "cloud"), [("", PUBLIC), (GOVERNMENT, GOVERNMENT)])
def test_a_managed_identity_is_asked_for_the_clouds_token(
    metadata: list[Mapping[str, list[str]]], endpoint: str, cloud: str
) -> None:
    arm = emulator()
    assert pools(arm, endpoint).list() == ()
    assert said(arm) == ["Bearer of-the-machine"]
    assert [request.url.partition("/subscriptions")[0] for request, _ in arm.log] == [cloud]
    assert metadata[-1]["resource"] == [cloud]


def test_a_developers_machine_has_azures_command_line(alone: Path) -> None:
    answer = {"accessToken": "of-the-developer", "expires_on": 2**33, "tokenType": "Bearer"}
    program = alone / "az"
    program.write_text(f"#!/bin/sh\necho \"$*\" > {alone}/asked\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    arm = emulator()
    assert pools(arm, GOVERNMENT).list() == ()
    assert said(arm) == ["Bearer of-the-developer"]
    assert f"--resource {GOVERNMENT}" in (alone / "asked").read_text()


@pytest.mark.usefixtures("alone")
def test_without_any_azure_is_not_asked_and_the_error_says_what_was_tried() -> None:
    arm = emulator()
    with pytest.raises(AzureError) as raised:
        pools(arm).list()
    assert classify(raised.value).reason == "AzureUnauthorized"
    for tried in ("WorkloadIdentityCredential", "ManagedIdentityCredential", "AzureCliCredential"):
        assert tried in raised.value.message
    assert not arm.log
