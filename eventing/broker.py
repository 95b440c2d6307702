"""The dev broker: Knative's Broker and Trigger manifests, served from this process's threads on loopback.

Unlike Knative's in-memory channel it acknowledges an event before it is delivered, and each Trigger goes at
its own pace: nothing is ordered between Triggers, nor between the events of one. Queues live in memory and
have no limit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import flask
import httpx
import structlog
from pydantic import Field
from werkzeug.serving import WSGIRequestHandler, make_server

from eventing import delivery, filters
from eventing.delivery import Mounts, Resolve
from eventing.dispatch import Dispatcher, NoObserver, Observer, Route, UnknownBroker
from eventing.manifest import ManifestError, Refused, Spec, label, read, sift
from eventing.message import TTL, Message, accept
from kaito.runtime.events import BadEvent, Event, parse

_log: Final = structlog.get_logger()


class BrokerSpec(Spec):
    """``config`` names the channel behind a cluster's broker and means nothing here."""

    config: dict[str, Any] | None = None
    delivery: dict[str, Any] | None = None


class TriggerSpec(Spec):
    broker: str = "default"
    filter: dict[str, Any] | None = None
    filters: list[Any] | None = None
    subscriber: dict[str, Any] = Field(min_length=1)
    delivery: dict[str, Any] | None = None


class Broker:
    """All Brokers of the platform behind one ingress, ``POST /NAMESPACE/NAME``.

    ``resolve`` finds the address of a Trigger's subscriber, at each attempt anew. ``mounts`` lead to what is in this
    process; the attribute of that name has the ingress too.
    """

    def __init__(
        self,
        resolve: Resolve,
        observer: Observer | None = None,
        *,
        workers: int = 256,
        mounts: Mounts | None = None,
    ) -> None:
        self._resolve, self._observer, self._workers = resolve, observer or NoObserver(), workers
        self._client = delivery.client(mounts)
        self._lock = threading.Lock()
        self._brokers: frozenset[tuple[str, str]] = frozenset()
        self._dispatchers: dict[str, tuple[object, Dispatcher]] = {}
        ingress = _ingress(self)
        self._server = make_server("127.0.0.1", 0, ingress, threaded=True, request_handler=_QuietHandler)
        self._url = f"http://127.0.0.1:{self._server.server_port}"
        self.mounts: Mounts = {**(mounts or {}), self._url: _Inside(self)}
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="broker ingress", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain: float = 2.0) -> None:
        """Close the ingress, give what is queued ``drain`` seconds, end all threads."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        with self._lock:
            dispatchers = [dispatcher for _, dispatcher in self._dispatchers.values()]
        deadline = time.monotonic() + drain
        for dispatcher in dispatchers:
            dispatcher.drain(max(0.0, deadline - time.monotonic()))
        for dispatcher in dispatchers:
            dispatcher.stop()
        self._client.close()

    def address(self, namespace: str, name: str) -> str:
        """Where sources send events for that Broker."""
        return f"{self._url}/{namespace}/{name}"

    def configure(self, brokers: Sequence[Mapping[str, Any]], triggers: Sequence[Mapping[str, Any]]) -> Refused:
        """Serve exactly these manifests from now on, but for the bad ones: those are returned.

        A Trigger that is still there keeps its queue, also where it has changed; that of one that is gone, or bad
        now, is dropped.
        """
        served, bad_brokers = sift(brokers, lambda manifest: (_key(manifest), _broker_delivery(manifest)))
        deliveries = dict(served)
        routes, bad_triggers = sift(
            triggers, lambda manifest: (_route(manifest, deliveries), _identity(manifest, deliveries))
        )
        with self._lock:
            self._brokers = frozenset(deliveries)
            gone = self._dispatchers.keys() - {route.key for route, _ in routes}
            removed = [self._dispatchers.pop(key)[1] for key in gone]
            for route, identity in routes:
                known = self._dispatchers.get(route.key)
                if known is None:
                    self._dispatchers[route.key] = identity, self._dispatcher(route)
                elif known[0] != identity:
                    known[1].route = route
                    self._dispatchers[route.key] = identity, known[1]
        for dispatcher in removed:
            dispatcher.stop()
        return bad_brokers | bad_triggers

    def receive(self, namespace: str, name: str, event: Event, headers: Mapping[str, str]) -> None:
        """Accept an event into a Broker; raises UnknownBroker or BadEvent."""
        broker = (namespace, name)
        if broker not in self._brokers:
            raise UnknownBroker(f"there is no Broker {name} in namespace {namespace}")
        message = accept(event, headers, datetime.now(UTC))
        self._observer.on_event(message)
        with self._lock:
            for _, dispatcher in self._dispatchers.values():
                if dispatcher.route.broker == broker:
                    dispatcher.put(message)

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is queued or under way; False after ``timeout`` seconds of one Trigger."""
        with self._lock:
            dispatchers = [dispatcher for _, dispatcher in self._dispatchers.values()]
        return all(dispatcher.drain(timeout) for dispatcher in dispatchers)

    def _dispatcher(self, route: Route) -> Dispatcher:
        def reenter(answered: Message, reply: Event) -> None:
            again = reply.with_attributes(**{TTL: answered.event.attributes[TTL]})
            self.receive(*route.broker, again, answered.headers)

        return Dispatcher(route, self._client, self._resolve, reenter, self._observer, workers=self._workers)


class _QuietHandler(WSGIRequestHandler):
    """Werkzeug would print a line for each event."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        _log.debug("broker ingress", level=type, line=message % args)


def _ingress(broker: Broker) -> flask.Flask:
    app = flask.Flask("broker")

    @app.post("/<namespace>/<name>")
    def receive(namespace: str, name: str) -> tuple[str, int]:
        return _answer(broker, namespace, name, dict(flask.request.headers), flask.request.get_data())

    return app


class _Inside(httpx.BaseTransport):
    """The ingress for the sources in this process: by Flask an event cost them a third more (bench-controllers)."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        _, namespace, name = request.url.path.split("/")
        text, status = _answer(self._broker, namespace, name, dict(request.headers), request.read())
        return httpx.Response(status, text=text)


def _answer(broker: Broker, namespace: str, name: str, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
    """Text and HTTP status for an event that was sent to a Broker."""
    try:
        broker.receive(namespace, name, parse(headers, body), headers)
    except BadEvent as error:
        return f"{error}\n", 400
    except UnknownBroker as error:
        return f"{error}\n", 404
    return "", 202


def _key(manifest: Mapping[str, Any]) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata.get("namespace", "default"), metadata["name"]


def _broker_delivery(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    field = f"{label(manifest)}: spec"
    spec = read(BrokerSpec, manifest.get("spec") or {}, field)
    delivery.delivery(None, spec.delivery, f"{field}.delivery")
    return spec.delivery


def _identity(manifest: Mapping[str, Any], deliveries: Mapping[tuple[str, str], Any]) -> object:
    spec = manifest["spec"]
    return spec, deliveries.get((_key(manifest)[0], spec.get("broker", "default")))


def _route(manifest: Mapping[str, Any], deliveries: Mapping[tuple[str, str], Mapping[str, Any] | None]) -> Route:
    field = f"{label(manifest)}: spec"
    if "spec" not in manifest:
        raise ManifestError(field, "is missing")
    spec = read(TriggerSpec, manifest["spec"], field)
    namespace, name = _key(manifest)
    broker = namespace, spec.broker
    return Route(
        namespace,
        name,
        broker,
        filters.predicate(manifest["spec"], field),
        spec.subscriber,
        delivery.delivery(spec.delivery, deliveries.get(broker), f"{field}.delivery"),
    )
