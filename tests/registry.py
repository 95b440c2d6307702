"""A real registry for tests, Debian's docker-registry, with TLS and one user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import requests

from kaito.embedded import registry
from kaito.embedded.registry import PASSWORD, USER
from tests.images import MANIFEST, Image, digest

__all__ = ["INSTALLED", "PASSWORD", "USER", "Registry", "running"]

INSTALLED: Final = registry.installed()


class Registry(registry.Registry):
    """With what a registry is asked for in tests."""

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

    def manifest(self, name: str, reference: str) -> bytes:
        """Of that tag or digest."""
        with self._session() as session:
            url = f"https://{self.host}/v2/{name}/manifests/{reference}"
            found = session.get(url, headers={"Accept": MANIFEST})
            found.raise_for_status()
            return found.content

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.auth, session.verify, session.trust_env = (USER, PASSWORD), str(self.ca), False
            yield session


@contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Iterator[Registry]:
    """One of a test's own, with its files in ``folder``."""
    with registry.running(folder, address) as found:
        yield Registry(found.host, found.ca)
