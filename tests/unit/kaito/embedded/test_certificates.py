from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaito.embedded.certificates import Certificates, ensure, write_kubeconfig

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(kind)]


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [
        ("admin", "kaito-admin", ["system:masters"]),
        ("controller-manager", "system:kube-controller-manager", []),
        ("etcd-client", "kube-apiserver-etcd-client", []),
    ],
)
def test_client_certificates_name_user_and_groups(tmp_path: Path, name: str, user: str, groups: list[str]) -> None:
    pki = ensure(tmp_path / "pki", NOW)
    certificate = load(pki.certificate(name))
    certificate.verify_directly_issued_by(load(pki.ca))
    assert names(certificate, NameOID.COMMON_NAME) == [user]
    assert names(certificate, NameOID.ORGANIZATION_NAME) == groups
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_the_server_certificate_is_for_loopback(tmp_path: Path) -> None:
    certificate = load(ensure(tmp_path / "pki", NOW).certificate("server"))
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert "localhost" in alternatives.get_values_for_type(x509.DNSName)


def contents(pki: Certificates) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pki.directory.iterdir()}


def remove_key(pki: Certificates) -> None:
    pki.key("admin").unlink()


def break_certificate(pki: Certificates) -> None:
    pki.certificate("server").write_text("not a certificate")


def swap_keys(pki: Certificates) -> None:
    pki.key("admin").write_bytes(pki.key("server").read_bytes())


def swap_verifier(pki: Certificates) -> None:
    other = ensure(pki.directory.parent / "other", NOW)
    pki.service_account_verifier.write_bytes(other.service_account_verifier.read_bytes())


def foreign_ca(pki: Certificates) -> None:
    pki.ca.write_bytes(ensure(pki.directory.parent / "other", NOW).ca.read_bytes())


def nothing(pki: Certificates) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "later", "kept"),
    [
        (nothing, timedelta(0), True),
        (nothing, timedelta(days=3600), True),
        (nothing, timedelta(days=3640), False),
        (nothing, timedelta(days=-1), False),
        (remove_key, timedelta(0), False),
        (break_certificate, timedelta(0), False),
        (swap_keys, timedelta(0), False),
        (swap_verifier, timedelta(0), False),
        (foreign_ca, timedelta(0), False),
    ],
)
def test_kept_while_whole_and_valid(
    tmp_path: Path, change: Callable[[Certificates], None], later: timedelta, kept: bool
) -> None:
    pki = ensure(tmp_path / "pki", NOW)
    before = contents(pki)
    change(pki)
    again = contents(ensure(pki.directory, NOW + later))
    assert (again == before) is kept
    assert again.keys() == before.keys()
    assert contents(ensure(pki.directory, NOW + later)) == again, "what was made anew is usable"


def test_everything_is_for_the_owner_only(tmp_path: Path) -> None:
    pki = ensure(tmp_path / "pki", NOW)
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, "https://127.0.0.1:6443", pki, "admin")
    modes = {path.stat().st_mode & 0o777 for path in (*pki.directory.iterdir(), kubeconfig)}
    assert modes == {0o600}
    assert pki.directory.stat().st_mode & 0o777 == 0o700


def test_kubeconfig_needs_no_other_file(tmp_path: Path) -> None:
    pki = ensure(tmp_path / "pki", NOW)
    write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:6443", pki, "admin")
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    user = config["users"][0]["user"]
    assert base64.b64decode(user["client-certificate-data"]) == pki.certificate("admin").read_bytes()
    assert base64.b64decode(user["client-key-data"]) == pki.key("admin").read_bytes()
    assert config["current-context"] == config["contexts"][0]["name"]
