"""A real registry for tests, Debian's docker-registry, with TLS and one user."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
import yaml

from kaito.embedded import certificates
from kaito.embedded.certificates import Identity
from tests.images import MANIFEST, Image, digest
from tests.integration.serving.process import free_port, stop, until

_PROGRAM: Final = "docker-registry"
INSTALLED: Final = shutil.which(_PROGRAM) is not None
USER, PASSWORD = "kaito", "secret"
_HASHED: Final = "$2b$04$kqB2zRMsqCrYcHkUy8GMoOcU91X4lVZ1r1N0DPKR6hpDDdxUMSGH2"  # of the password, by bcrypt
_STARTS_WITHIN: Final = 30.0  # seconds


@dataclass
class Registry:
    """``ca`` is whom its certificate is signed by."""

    host: str
    ca: Path

    @property
    def secret(self) -> str:
        """A pull secret's .dockerconfigjson."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return json.dumps({"auths": {self.host: {"auth": auth}}})

    def push(self, name: str, tag: str, image: Image) -> str:
        """The digest of its manifest."""
        with self._session() as session:
            for blob in image.blobs.values():
                begun = session.post(f"https://{self.host}/v2/{name}/blobs/uploads/")
                begun.raise_for_status()
                location = begun.headers["Location"]
                ended = session.put(f"{location}&digest={digest(blob)}", data=blob)
                ended.raise_for_status()
        self.tag(name, tag, image.manifest, MANIFEST)
        return digest(image.manifest)

    def tag(self, name: str, tag: str, manifest: bytes, kind: str) -> None:
        with self._session() as session:
            url = f"https://{self.host}/v2/{name}/manifests/{tag}"
            session.put(url, data=manifest, headers={"Content-Type": kind}).raise_for_status()

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.auth, session.verify, session.trust_env = (USER, PASSWORD), str(self.ca), False
            yield session


@contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """One of a test's own, with its files in ``folder``."""
    port = free_port()
    made = certificates.ensure(folder / "certificates", identities={"registry": Identity("registry", server=True)})
    (folder / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "auth": {"htpasswd": {"realm": "it", "path": str(folder / "htpasswd")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "tls": {"certificate": str(made.certificate("registry")), "key": str(made.key("registry"))},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_PROGRAM, "serve", str(folder / "config.yaml")], stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _answers(port, made.ca), _STARTS_WITHIN)
        assert process.poll() is None, (folder / "log").read_text()
        yield Registry(f"127.0.0.1:{port}", made.ca)
    finally:
        stop(process)


def _answers(port: int, ca: Path) -> bool:
    try:
        return requests.get(f"https://127.0.0.1:{port}/v2/", verify=str(ca), timeout=5).status_code == 401
    except requests.ConnectionError:
        return False
