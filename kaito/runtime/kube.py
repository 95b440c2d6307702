"""The one Kubernetes client: objects are JSON dicts, errors are four classes, writes are server-side apply.

It is a thin layer over the official client's ``ApiClient``, which does credentials, TLS and connections. The official
client takes 0.6 s and 75 MB to import, so it is imported when the first ``Kube`` is made and never before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic_core import from_json

from kaito.api.resources import NAMESPACE, Kind, Object
from kaito.runtime.plan import WriteError

Propagation = Literal["Background", "Foreground", "Orphan"]
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class KubeError(WriteError):
    """The API server refused or could not be reached; ``status`` is the HTTP status, 0 for no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or status}: {message}")
        self.status, self.reason, self.message = status, reason, message
        self.permanent = 400 <= status < 500 and status not in (409, 410, 429)


class Conflict(KubeError):
    """Somebody else was faster (409): observe again and decide again."""


class Gone(KubeError):
    """A watch started from a resourceVersion that the API server no longer has (410): list again."""


class Unavailable(KubeError):
    """No answer, or a transient one (429, 5xx): the same call may succeed later."""


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A consistent list: ``resource_version`` is where a watch goes on from it."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Watch(Iterator[WatchEvent]):
    """An open watch. One thread iterates; ``close`` may be called from any other and ends the iteration."""

    def __init__(self, response: Any) -> None:
        self._response, self._closed = response, False
        self._events = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchEvent:
        return next(self._events)

    def close(self) -> None:
        self._closed = True
        # Closing the response would wait for the reading thread; shutting its socket down wakes that thread.
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # It has ended already.
            self._response.shutdown()

    def _read(self) -> Iterator[WatchEvent]:
        try:
            for line in _lines(self._response):
                event = from_json(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), event["object"])
                yield WatchEvent(event["type"], event["object"])
        except Unavailable:
            if not self._closed:
                raise
        finally:
            # In this order: a connection with a watch still running on it must not go back to the pool open.
            self._response.close()
            self._response.release_conn()


#: What objects are selected by: a label's value, or one of several.
Labels = Mapping[str, str | Collection[str]]


class Kube:
    """A connection to one API server. Thread-safe. All methods raise KubeError subclasses."""

    def __init__(self, api_client: Any) -> None:
        self._api = api_client

    @classmethod
    def from_environment(cls) -> Self:
        """Credentials of the pod's service account, else of ``$KUBECONFIG`` or ``~/.kube/config``."""
        if SERVICE_ACCOUNT.exists():
            from kubernetes import client, config

            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            return cls(client.ApiClient(configuration))
        return cls.from_kubeconfig(None)

    @classmethod
    def from_kubeconfig(cls, path: Path | None, *, impersonate: str | None = None) -> Self:
        """``impersonate`` acts as that user, e.g. ``system:serviceaccount:kaito-system:kaito-events``. Raises KubeError
        where there is no such file, or no cluster in it."""
        from kubernetes import client, config
        from yaml import YAMLError

        configuration = client.Configuration()
        try:
            config.load_kube_config(config_file=path and str(path), client_configuration=configuration)
        except (config.ConfigException, YAMLError) as error:
            said = f"{path or '$KUBECONFIG, or ~/.kube/config,'} names no cluster to ask: {error}"
            raise KubeError(0, "NoCluster", said) from error
        if urlsplit(configuration.host).hostname in ("localhost", "127.0.0.1", "::1"):
            configuration.proxy = None  # $HTTPS_PROXY is not for loopback, as kubectl has it
        api = client.ApiClient(configuration)
        if impersonate:
            api.set_default_header("Impersonate-User", impersonate)
        return cls(api)

    @property
    def server(self) -> str:
        """The API server's URL, which is also the ``source`` of the events about its objects."""
        return str(self._api.configuration.host)

    @cached_property
    def cluster(self) -> str:
        """What tells this Kubernetes cluster from all others: the uid of its Namespace kube-system."""
        found = self._call("GET", NAMESPACE.path(None, "kube-system"))
        assert found is not None
        return str(found["metadata"]["uid"])

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The live object, or None where there is none (or no such kind yet)."""
        return self._call("GET", kind.path(namespace, name), absent_ok=True)

    def list(self, kind: Kind, namespace: str | None = None, labels: Labels | None = None) -> ObjectList:
        """All objects of a kind (in a namespace, with these labels). A kind the server lacks raises KubeError(404)."""
        body = self._call("GET", kind.path(namespace), _selector(labels))
        assert body is not None
        items = tuple({"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in body["items"])
        return ObjectList(items, body["metadata"]["resourceVersion"])

    def list_installed(
        self, kind: Kind, labels: Labels | None = None, namespace: str | None = None
    ) -> tuple[Object, ...]:
        """The objects of a kind that this cluster may not have; none where it has not."""
        try:
            return self.list(kind, namespace, labels).items
        except KubeError as error:
            if error.status == 404:
                return ()
            raise

    def watch(
        self,
        kind: Kind,
        resource_version: str,
        namespace: str | None = None,
        labels: Labels | None = None,
        *,
        timeout: int = 240,
    ) -> Watch:
        """Changes since ``resource_version``, until the server ends the watch after ``timeout`` seconds. An object that
        comes to have these labels is ADDED, one that loses them DELETED.

        Raises Gone when the version is too old: list again. Bookmarks are delivered, so that the caller can move on.
        """
        query = {
            **_selector(labels),
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout),
        }
        return Watch(self._open("GET", kind.path(namespace), query, read_timeout=timeout + 30))

    def apply(self, obj: Object, *, manager: str, subresource: str | None = None, dry_run: bool = False) -> Object:
        """Server-side apply as ``manager``, taking fields over from others.

        ``dry_run``: the API server says all that it would say, and keeps nothing.

        With ``metadata.uid`` it raises Conflict instead of making a new object where that one is gone; with
        ``metadata.resourceVersion`` it raises Conflict where the object has changed since (only with ``uid`` too
        where it is gone: the version alone makes a new one).
        """
        meta = obj["metadata"]
        result = self._call(
            "PATCH",
            Kind.of(obj).path(meta.get("namespace"), meta["name"], subresource),
            {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})},
            obj,
            content_type="application/apply-patch+yaml",
        )
        assert result is not None
        return result

    def create(self, obj: Object, *, subresource_of: str | None = None) -> Object:
        """Create, or with ``subresource_of`` post to that object's subresource (TokenRequest)."""
        meta = obj["metadata"]
        path = subresource_of or Kind.of(obj).path(meta.get("namespace"))
        result = self._call("POST", path, {}, obj)
        assert result is not None
        return result

    def patch(self, kind: Kind, name: str, namespace: str | None, body: Object) -> Object:
        """JSON merge patch: for tests and tools that edit as a person would."""
        result = self._call("PATCH", kind.path(namespace, name), {}, body, content_type="application/merge-patch+json")
        assert result is not None
        return result

    def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
        grace_seconds: int | None = None,
    ) -> None:
        """Delete; what is gone already is fine. With ``uid``, only that very object: another one raises Conflict.
        ``grace_seconds`` goes before what a pod says: 0 is for whoever ran it."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        self._call("DELETE", kind.path(namespace, name), {}, options, absent_ok=True)

    def probe(self, path: str = "/readyz") -> bool:
        """Does the API server answer 200 at ``path``?"""
        try:
            _body(self._open("GET", path, {}, read_timeout=5))
        except KubeError:
            return False
        return True

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
        absent_ok: bool = False,
    ) -> Object | None:
        try:
            response = self._open(method, path, query or {}, body, content_type)
        except KubeError as error:
            if absent_ok and error.status == 404:
                return None
            raise
        result: Object = from_json(_body(response))
        return result

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        content_type: str = "application/json",
        read_timeout: float = 30,
    ) -> Any:
        """Send and return urllib3's response with the body unread; any status over 299 is raised."""
        from urllib3.exceptions import HTTPError

        api = self._api
        headers = {"Accept": "application/json", "Content-Type": content_type, **api.default_headers}
        parameters: list[tuple[str, str]] = []
        api.update_params_for_auth(headers, parameters, ["BearerToken"], path, method, body)
        url = f"{api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = api.rest_client.pool_manager.request(
                method,
                url,
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                preload_content=False,
                retries=False,
                timeout=_timeout(read_timeout),
            )
        except HTTPError as error:
            raise Unavailable(0, "Unreachable", f"{method} {path}: {error}") from error
        if response.status > 299:
            raw = _body(response)
            try:
                status = json.loads(raw)
            except ValueError:
                status = {"message": raw.decode(errors="replace")[:500]}
            raise _error(response.status, status if isinstance(status, dict) else {"message": str(status)})
        return response


def _selector(labels: Labels | None) -> dict[str, str]:
    return {"labelSelector": ",".join(_requirement(k, v) for k, v in labels.items())} if labels else {}


def _requirement(label: str, value: str | Collection[str]) -> str:
    return f"{label}={value}" if isinstance(value, str) else f"{label} in ({','.join(sorted(value))})"


def _timeout(read: float) -> Any:
    from urllib3 import Timeout

    return Timeout(connect=5, read=read)


def _body(response: Any) -> bytes:
    """All of it, which also gives the connection back."""
    from urllib3.exceptions import HTTPError

    try:
        return bytes(response.read())
    except HTTPError as error:
        raise Unavailable(0, "AnswerBroken", str(error)) from error


def _lines(response: Any) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError

    buffer = b""
    try:
        for chunk in response.stream(amt=65536, decode_content=True):
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())
    except HTTPError as error:
        raise Unavailable(0, "WatchBroken", str(error)) from error


def _error(code: int, status: Mapping[str, Any]) -> KubeError:
    kinds: dict[int, type[KubeError]] = {409: Conflict, 410: Gone, 429: Unavailable}
    kind = kinds.get(code, Unavailable if code >= 500 else KubeError)
    return kind(code, str(status.get("reason") or ""), str(status.get("message") or ""))
