"""An ApiServerSource, run in this process: lists and watches its kinds, sends a CloudEvent for each change.

Events equal those of Knative's adapter in every attribute. Three deviations, all on purpose, so that no
restart loses anything: the first list sends an add for each object; a later list (after a watch was cut off
for too long) sends what it finds changed; a kind that is not installed yet is waited for. As there, each kind
is sent in order, one event at a time, and an event is dropped when its retries are used up: the sweep repairs
that.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, Protocol

import httpx
import structlog
from pydantic import Field

from eventing import delivery
from eventing.delivery import SOURCE_POLICY, Mounts, Resolve, Sender
from eventing.inventory import Change, Inventory
from eventing.manifest import ManifestError, Spec, label, read
from kaito.api.resources import Kind, Object
from kaito.runtime import events
from kaito.runtime.events import Event
from kaito.runtime.kube import Gone, KubeError, ObjectList, Unavailable, WatchEvent

_log: Final = structlog.get_logger()
#: Seconds between two looks for a kind that is not there, or may not be read.
_ABSENT_WAIT: Final = 3.0
#: Seconds before an API server that does not answer is tried again: doubled from the first up to the second.
_BACKOFF: Final = (0.1, 5.0)
_JOIN: Final = 5.0

Mode = Literal["Reference", "Resource"]


class Watch(Protocol):
    """An open watch: iterated by one thread, closed by another, which ends the iteration."""

    def __iter__(self) -> Iterator[WatchEvent]: ...
    def close(self) -> None: ...


class Cluster(Protocol):
    """What a source needs of kaito.runtime.kube.Kube."""

    @property
    def server(self) -> str: ...
    def list(self, kind: Kind, namespace: str | None = None) -> ObjectList: ...
    def watch(self, kind: Kind, resource_version: str, namespace: str | None = None) -> Watch: ...


class LabelSelector(Spec):
    match_labels: dict[str, str] = Field(default_factory=dict)


class Everything(Spec):
    """The empty selector, the only one of namespaces that is honoured."""


class WatchedResource(Spec):
    api_version: str
    kind: str
    selector: LabelSelector = LabelSelector()


class ApiServerSourceSpec(Spec):
    """``serviceAccountName`` is for the caller, who makes the client (see ``user``); the rest is honoured here."""

    mode: Mode = "Reference"
    resources: list[WatchedResource] = Field(min_length=1)
    namespace_selector: Everything | None = None
    service_account_name: str = Field(default="default", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    sink: dict[str, Any] = Field(min_length=1)


class ApiServerSource:
    """Runs one ApiServerSource manifest, a thread a kind. Raises ManifestError for what it cannot honour."""

    def __init__(
        self, manifest: Mapping[str, Any], cluster: Cluster, resolve: Resolve, mounts: Mounts | None = None
    ) -> None:
        spec, namespace = _spec(manifest), _namespace(manifest)
        self._client = delivery.client(mounts)
        self._stopping = threading.Event()
        self._reflectors = [
            _Reflector(
                Kind(resource.api_version, resource.kind),
                namespace if spec.namespace_selector is None else None,
                Inventory(resource.selector.match_labels),
                cluster,
                _Outlet(spec, namespace, cluster.server, resolve, self._client, self._stopping),
                self._stopping,
            )
            for resource in spec.resources
        ]

    def start(self) -> None:
        for reflector in self._reflectors:
            reflector.start()

    def stop(self) -> None:
        """End all threads, also those that wait in a watch or between two attempts."""
        self._stopping.set()
        for reflector in self._reflectors:
            reflector.interrupt()
        for reflector in self._reflectors:
            reflector.join(_JOIN)
        self._client.close()


def user(manifest: Mapping[str, Any]) -> str:
    """Whose rights an ApiServerSource has: its service account's. Raises ManifestError."""
    return f"system:serviceaccount:{_namespace(manifest)}:{_spec(manifest).service_account_name}"


def describe(change: Change, mode: Mode, server: str) -> Event:
    """The CloudEvent for a change, with an id of its own."""
    obj, metadata = change.object, change.object["metadata"]
    kind, namespace, name = Kind.of(obj), metadata.get("namespace", ""), metadata["name"]
    attributes = {
        "type": f"dev.knative.apiserver.{'resource' if mode == 'Resource' else 'ref'}.{change.verb}",
        "source": server,
        # Not the object's URL: the core group is under /apis too, and no namespace is an empty one.
        "subject": f"/apis/{kind.api_version}/namespaces/{namespace}/{kind.plural}/{name}",
        "datacontenttype": "application/json",
        "apiversion": kind.api_version,
        "kind": kind.kind,
        "name": name,
        "namespace": namespace,
    }
    return events.new(attributes, _resource(obj) if mode == "Resource" else _reference(kind, namespace, name))


class _Outlet:
    """Sends changes to the source's sink."""

    def __init__(
        self,
        spec: ApiServerSourceSpec,
        namespace: str,
        server: str,
        resolve: Resolve,
        client: httpx.Client,
        stopping: threading.Event,
    ) -> None:
        self._spec, self._namespace, self._server, self._resolve = spec, namespace, server, resolve
        self._sender, self._stopping = Sender(client, stopping), stopping

    def send(self, change: Change) -> None:
        event = describe(change, self._spec.mode, self._server)
        headers, body = events.to_binary(event)
        attempt = self._sender.send(({**headers, "kn-namespace": self._namespace}, body), self._sink, SOURCE_POLICY)
        if not attempt.delivered and not self._stopping.is_set():
            _log.warning(
                "event dropped: the sink did not take it",
                type=event.type,
                subject=event.subject,
                status=attempt.status,
                reason=attempt.reason,
            )

    def _sink(self) -> str:
        return self._resolve(self._spec.sink, self._namespace)


class _Reflector(threading.Thread):
    """Lists and watches one kind until stopped, whatever the API server does."""

    def __init__(
        self,
        kind: Kind,
        namespace: str | None,
        inventory: Inventory,
        cluster: Cluster,
        outlet: _Outlet,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=f"source {kind.kind}", daemon=True)
        self._kind, self._namespace, self._inventory = kind, namespace, inventory
        self._cluster, self._outlet, self._stopping = cluster, outlet, stopping
        self._version: str | None = None
        self._backoff = _BACKOFF[0]
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._told = ""

    def interrupt(self) -> None:
        """Wake the thread where it waits in a watch; ``stopping`` is set already."""
        with self._lock:
            if self._watch is not None:
                self._watch.close()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._version is None:
                    self._list()
                else:
                    self._follow(self._version)
            except Gone:
                self._version = None
            except Unavailable as error:
                self._tell("API server unavailable", error)
                if error.status:  # It answers, but not that: listing again costs little and loses nothing.
                    self._version = None
                self._stopping.wait(self._backoff)
                self._backoff = min(2 * self._backoff, _BACKOFF[1])
            except KubeError as error:
                self._tell(
                    "not installed; or cluster-scoped, which needs namespaceSelector: {}"
                    if error.status == 404
                    else "cannot be watched",
                    error,
                )
                self._version = None
                self._stopping.wait(_ABSENT_WAIT)

    def _list(self) -> None:
        listed = self._cluster.list(self._kind, self._namespace)
        self._settled()
        for change in self._inventory.replace(listed.items):
            if self._stopping.is_set():
                return
            self._outlet.send(change)
        self._version = listed.resource_version

    def _follow(self, version: str) -> None:
        watch = self._cluster.watch(self._kind, version, self._namespace)
        with self._lock:
            self._watch = watch
            if self._stopping.is_set():
                watch.close()
        try:
            for event in watch:
                self._settled()
                change = self._inventory.take(event)
                if change is not None:
                    self._outlet.send(change)
                self._version = event.object["metadata"]["resourceVersion"]
        finally:
            with self._lock:
                self._watch = None
        self._stopping.wait(_BACKOFF[0])  # An API server that ends watches at once must not be hammered.

    def _settled(self) -> None:
        self._backoff, self._told = _BACKOFF[0], ""

    def _tell(self, what: str, error: KubeError) -> None:
        """Log a trouble once, not at each attempt."""
        if what != self._told:
            _log.warning(what, kind=self._kind.kind, api_version=self._kind.api_version, error=str(error))
        self._told = what


def _spec(manifest: Mapping[str, Any]) -> ApiServerSourceSpec:
    field = f"{label(manifest)}: spec"
    if "spec" not in manifest:
        raise ManifestError(field, "is missing")
    return read(ApiServerSourceSpec, manifest["spec"], field)


def _namespace(manifest: Mapping[str, Any]) -> str:
    return str(manifest["metadata"].get("namespace", "default"))


def _resource(obj: Object) -> bytes:
    return json.dumps(obj, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _reference(kind: Kind, namespace: str, name: str) -> bytes:
    reference = {"kind": kind.kind, "namespace": namespace, "name": name, "apiVersion": kind.api_version}
    return json.dumps({field: value for field, value in reference.items() if value}, separators=(",", ":")).encode()
