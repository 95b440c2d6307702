"""Whose word Azure gets: the real azure-identity, with stand-ins of what a node or a developer's machine has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import flask
import pytest

from functions.provisioner.aks.client import Pools
from functions.provisioner.aks.failure import AzureError, classify
from functions.provisioner.settings import ManagedCluster
from kaito.embedded import certificates
from kaito.embedded.arm.emulator import Arm
from kaito.embedded.arm.transport import transport
from tests.serving import serving

PUBLIC, GOVERNMENT = "https://management.azure.com", "https://management.usgovcloudapi.net"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that is none of Azure's and where nobody is known; returns the folder of its programs."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return programs


@pytest.fixture
def resources(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """On a machine whose metadata service gives the token of its managed identity: what tokens were asked for."""
    app, asked = flask.Flask("metadata"), list[str]()

    @app.get("/metadata/identity/oauth2/token")
    def token() -> flask.typing.ResponseReturnValue:
        if flask.request.headers.get("Metadata") != "true":
            return {"error": "invalid_request"}, 400  # as it answers the probe, too
        asked.append(flask.request.args["resource"])
        return {"access_token": "of-the-machine", "expires_in": "3600", "resource": "r", "token_type": "Bearer"}

    with serving(app) as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        yield asked


@dataclass
class Authority:
    """Who gives tokens to workloads."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def authority(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """In a pod of a service account that stands for an identity, as Azure's webhook sets it up; TLS as it must be."""
    app, found = flask.Flask("authority"), Authority()
    made = certificates.ensure(tmp_path / "certificates")

    @app.get("/tenant/v2.0/.well-known/openid-configuration")
    def configuration() -> flask.typing.ResponseReturnValue:
        base = f"{found.url}/tenant"
        return {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        }

    @app.post("/tenant/oauth2/v2.0/token")
    def token() -> flask.typing.ResponseReturnValue:
        found.asked.append(flask.request.form.to_dict())
        return {"access_token": "of-the-workload", "expires_in": 3600, "token_type": "Bearer"}

    assertion = tmp_path / "token"
    assertion.write_text("of-the-service-account")
    with serving(app, (str(made.certificate("server")), str(made.key("server")))) as url:
        found.url = url
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
        monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
        monkeypatch.setenv("AZURE_CLIENT_ID", "identity")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(assertion))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.ca))
        yield found


def pools(arm: Arm, endpoint: str = "") -> Pools:
    return Pools.of(ManagedCluster("s-1", "rg", "cluster", endpoint), transport=transport(arm))


def emulator() -> Arm:
    return Arm("s-1", "rg", "cluster", lambda: 0.0)


def said(arm: Arm) -> list[str]:
    """By whom the emulator was asked."""
    return [request.headers["authorization"] for request, _ in arm.log]


@pytest.mark.parametrize(("endpoint", "cloud"), [("", PUBLIC), (GOVERNMENT, GOVERNMENT)])
def test_a_managed_identity_is_asked_for_the_clouds_token(resources: list[str], endpoint: str, cloud: str) -> None:
    arm = emulator()
    assert pools(arm, endpoint).list("this-cluster") == ()
    assert said(arm) == ["Bearer of-the-machine"]
    assert [request.url.partition("/subscriptions")[0] for request, _ in arm.log] == [cloud]
    assert resources[-1] == cloud


def test_a_workload_has_the_identity_that_its_service_account_stands_for(authority: Authority) -> None:
    arm = emulator()
    assert pools(arm, GOVERNMENT).list("this-cluster") == ()
    assert said(arm) == ["Bearer of-the-workload"]
    (asked,) = authority.asked
    assert asked["client_id"] == "identity"
    assert asked["client_assertion"] == "of-the-service-account"
    assert f"{GOVERNMENT}/.default" in asked["scope"]


def test_a_developers_machine_has_azures_command_line(alone: Path) -> None:
    answer = {"accessToken": "of-the-developer", "expires_on": 2**33, "tokenType": "Bearer"}
    program = alone / "az"
    program.write_text(f"#!/bin/sh\necho \"$*\" > {alone}/asked\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    arm = emulator()
    assert pools(arm, GOVERNMENT).list("this-cluster") == ()
    assert said(arm) == ["Bearer of-the-developer"]
    assert f"--resource {GOVERNMENT}" in (alone / "asked").read_text()


@pytest.mark.usefixtures("alone")
def test_without_any_azure_is_not_asked_and_the_error_says_what_was_tried() -> None:
    arm = emulator()
    with pytest.raises(AzureError) as raised:
        pools(arm).list("this-cluster")
    assert classify(raised.value).reason == "AzureUnauthorized"
    for tried in ("WorkloadIdentityCredential", "ManagedIdentityCredential", "AzureCliCredential"):
        assert tried in raised.value.message
    assert not arm.log
