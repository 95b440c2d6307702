"""Where a source's events go: an address that the API server knows, or one that the manifest gives."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from pydantic import Field

from eventing.delivery import Unresolved
from eventing.manifest import ManifestError, Spec, read
from kaito.api.resources import SERVICE, Kind, Object
from kaito.runtime.kube import KubeError


class Reads(Protocol):
    """What a sink needs of kaito.runtime.kube.Kube."""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None: ...


class Reference(Spec):
    api_version: str
    kind: str
    name: str = Field(min_length=1)
    namespace: str | None = None


class Destination(Spec):
    """``uri`` is the whole address, or with ``ref`` the path from that object's."""

    ref: Reference | None = None
    uri: str | None = None


class Sink:
    """A source's sink; its address is asked for once, and again after ``forget``. Raises ManifestError."""

    def __init__(self, destination: Mapping[str, Any], namespace: str, kube: Reads, field: str) -> None:
        self._destination, self._namespace, self._kube = read(Destination, destination, field), namespace, kube
        ref, uri = self._destination.ref, self._destination.uri
        is_url = uri is not None and urlsplit(uri).scheme in ("http", "https")
        if ref is None and not is_url:
            raise ManifestError(field, "needs a ref, or a uri that begins with http:// or https://")
        if ref is not None and is_url:
            raise ManifestError(f"{field}.uri", "must be a path from the ref's address: remove the ref or the host")
        self._lock = threading.Lock()
        self._found: str | None = None

    def find(self) -> str:
        """Its URL; raises Unresolved."""
        with self._lock:
            if self._found is None:
                self._found = self._resolve()
            return self._found

    def forget(self) -> None:
        """It did not answer there: it may be elsewhere by now."""
        with self._lock:
            self._found = None

    def _resolve(self) -> str:
        ref, uri = self._destination.ref, self._destination.uri or ""
        return urljoin(self._address(ref), uri) if ref else uri

    def _address(self, ref: Reference) -> str:
        kind, namespace = Kind(ref.api_version, ref.kind), ref.namespace or self._namespace
        if kind == SERVICE:
            return f"http://{ref.name}.{namespace}.svc.cluster.local"
        try:
            found = self._kube.get(kind, ref.name, namespace)
        except KubeError as error:
            raise Unresolved(f"the address of {ref.kind} {namespace}/{ref.name} cannot be read: {error}") from error
        status = (found or {}).get("status") or {}
        url = (status.get("address") or {}).get("url")
        if not url:
            raise Unresolved(f"{ref.kind} {namespace}/{ref.name} {'has no address yet' if found else 'is not there'}")
        return str(url)
