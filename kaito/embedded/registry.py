"""A real registry on this machine: Debian's docker-registry, with TLS and one user."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import yaml

from kaito.api.resources import Object
from kaito.api.workloads import DOCKER_CONFIG
from kaito.embedded import certificates
from kaito.embedded.certificates import Identity
from kaito.embedded.error import EmbeddedError
from kaito.embedded.knative.pod import free_port
from kaito.embedded.process import Process, ProcessTable

PROGRAM: Final = "docker-registry"
USER, PASSWORD = "kaito", "secret"
_HASHED: Final = "$2b$04$kqB2zRMsqCrYcHkUy8GMoOcU91X4lVZ1r1N0DPKR6hpDDdxUMSGH2"  # of the password, by bcrypt
_STARTS_WITHIN: Final = 30.0  # seconds
_POLL: Final = 0.05


class RegistryError(EmbeddedError):
    """It does not run; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Registry:
    """``ca`` signed its certificate, and nobody else knows it."""

    host: str
    ca: Path

    @property
    def secret(self) -> str:
        """The .dockerconfigjson of a pull or push Secret."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return json.dumps({"auths": {self.host: {"auth": auth}}})

    def secret_object(self, name: str) -> Object:
        """The Secret to pull and push with."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {DOCKER_CONFIG: self.secret},
        }


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[Registry]:
    """One that keeps everything in ``folder``, at an ``address`` of this machine. Raises RegistryError."""
    if not installed():
        raise RegistryError(f"there is no {PROGRAM} on this machine: apt-get install {PROGRAM}, or make test-packages")
    host = f"{address}:{free_port(address)}"
    identities = {"registry": Identity("registry", server=True)}
    made = certificates.ensure(folder / "certificates", identities=identities, hosts=[address])
    (folder / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "auth": {"htpasswd": {"realm": "it", "path": str(folder / "htpasswd")}},
        "http": {
            "addr": host,
            "tls": {"certificate": str(made.certificate("registry")), "key": str(made.key("registry"))},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    process = ProcessTable(folder).start("registry", [PROGRAM, "serve", str(folder / "config.yaml")])
    try:
        _wait(process, host, made.ca)
        yield Registry(host, made.ca)
    finally:
        process.stop()


def _wait(process: Process, host: str, ca: Path) -> None:
    deadline, never = time.monotonic() + _STARTS_WITHIN, Event()
    while not _answers(host, ca):
        if process.exit_code is not None or time.monotonic() > deadline:
            raise RegistryError(f"{PROGRAM} does not start: {process.tail() or 'it wrote nothing'}")
        never.wait(_POLL)


def _answers(host: str, ca: Path) -> bool:
    """It does, once it asks who one is."""
    trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca)))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusted)
    try:
        opener.open(f"https://{host}/v2/", timeout=5)
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return False
