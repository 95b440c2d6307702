"""One small PKI for one control plane: made once, kept in its directory, made anew before it ends."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID: Final = timedelta(days=3650)
_RENEW_BEFORE: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate names: Kubernetes reads the user from ``user`` and the groups from ``groups``."""

    user: str
    groups: tuple[str, ...] = ()
    server: bool = False


#: File name → identity. The server certificate is the API server's and etcd's; etcd is its own client too.
IDENTITIES: Final = {
    "server": Identity("kaito-control-plane", server=True),
    "admin": Identity("kaito-admin", ("system:masters",)),
    "etcd-client": Identity("kube-apiserver-etcd-client"),
    "controller-manager": Identity("system:kube-controller-manager"),
}
#: The names of an API server on loopback.
HOSTS: Final = ("localhost", "kubernetes.default.svc", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the PEM files are, by the names of ``ensure``'s identities."""

    directory: Path

    @property
    def ca(self) -> Path:
        """What every certificate here is signed by."""
        return self.certificate("ca")

    @property
    def service_account_signer(self) -> Path:
        """The private key that signs service account tokens."""
        return self.key("service-accounts")

    @property
    def service_account_verifier(self) -> Path:
        """Its public half: the API server reads none from a PKCS#8 private key."""
        return self.directory / "service-accounts.pub"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"


def ensure(
    directory: Path,
    now: datetime | None = None,
    identities: Mapping[str, Identity] = IDENTITIES,
    hosts: Sequence[str] = HOSTS,
) -> Certificates:
    """The PKI in ``directory``: the one there if it is whole and valid for a while yet, else a new one.

    ``hosts``: the names and addresses that servers are reached by.
    """
    now = now or datetime.now(UTC)
    certificates = Certificates(directory)
    if not _usable(certificates, identities, now):
        directory.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))  # mode 0700
        _make(Certificates(fresh), identities, hosts, now)
        if directory.exists():
            shutil.rmtree(directory)
        fresh.rename(directory)
    return certificates


def write_kubeconfig(path: Path, server: str, certificates: Certificates, user: str) -> None:
    """A kubeconfig with everything embedded, for its owner's eyes only."""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kaito",
                "cluster": {"server": server, "certificate-authority-data": data(certificates.ca)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": data(certificates.certificate(user)),
                    "client-key-data": data(certificates.key(user)),
                },
            }
        ],
        "contexts": [{"name": "kaito", "context": {"cluster": "kaito", "user": user}}],
        "current-context": "kaito",
    }
    _write(path, yaml.safe_dump(config, sort_keys=False).encode())


def _make(certificates: Certificates, identities: Mapping[str, Identity], hosts: Sequence[str], now: datetime) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(Identity("kaito-embedded-ca"))
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    _write(certificates.ca, ca.public_bytes(serialization.Encoding.PEM))
    for name, identity in identities.items():
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(identity), ca_name, key.public_key(), ca_key.public_key(), now)
        if identity.server:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(key_cert_sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        _write(certificates.certificate(name), certificate.public_bytes(serialization.Encoding.PEM))
        _write(certificates.key(name), _pem(key))
    signer = ec.generate_private_key(ec.SECP256R1())
    _write(certificates.service_account_signer, _pem(signer))
    _write(certificates.service_account_verifier, _public_pem(signer))


def _usable(certificates: Certificates, identities: Mapping[str, Identity], now: datetime) -> bool:
    """Is every file there, of one piece, signed by this CA and valid for a while yet?"""
    with contextlib.suppress(OSError, ValueError, InvalidSignature):
        ca = x509.load_pem_x509_certificate(certificates.ca.read_bytes())
        signer = serialization.load_pem_private_key(certificates.service_account_signer.read_bytes(), None)
        verifier = serialization.load_pem_public_key(certificates.service_account_verifier.read_bytes())
        if signer.public_key() != verifier:
            return False
        for name in identities:
            certificate = x509.load_pem_x509_certificate(certificates.certificate(name).read_bytes())
            key = serialization.load_pem_private_key(certificates.key(name).read_bytes(), None)
            certificate.verify_directly_issued_by(ca)
            if key.public_key() != certificate.public_key():
                return False
            if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEW_BEFORE:
                return False
        return True
    return False


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks that are set back a little
        .not_valid_after(now + _VALID)
        # Python 3.13 refuses certificates without these two.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _name(identity: Identity) -> x509.Name:
    organisations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
    return x509.Name([*organisations, x509.NameAttribute(NameOID.COMMON_NAME, identity.user)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _write(path: Path, data: bytes) -> None:
    """Write whole or not at all, readable by the owner only from the first byte."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(data)  # mode 0600
    Path(file.name).replace(path)
