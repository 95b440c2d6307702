"""Knative's Ingresses as Envoy's configuration: pure, dicts in and dicts out.

Two listeners: the external one serves the rules that are visible from outside, the internal one serves all. A split
is sent to the ClusterIP of its Service, so that kube-proxy is who follows a Revision from the activator to its pods
and back. The address is part of the route, so that a change is one file of a listener: Envoy reads two files in any
order, and a route that came before its cluster would fail requests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from kaito.api.resources import Object

EXTERNAL: Final = "external"
INTERNAL: Final = "internal"
#: The host at which every listener answers with the version of the rendering that it serves.
PROBE_HOST: Final = "version.ingress.invalid"
#: The clusters: by protocol, at the address in the header; and one without endpoints, which answers 503.
HTTP: Final = "http"
H2C: Final = "h2c"
NOWHERE: Final = "nowhere"
#: The header in which a route tells its cluster the address; the Service gets to see it.
DESTINATION: Final = "Kaito-Test-Destination"
#: How long a connection to a Service is used: one that lasts would stay at the activator, or at a pod that is leaving.
_CONNECTION_AGE: Final = "1s"
_API: Final = "type.googleapis.com/envoy"
_NETWORK: Final = f"{_API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = f"{_API}.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

#: A namespace and a name.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``HOST:PORT``; raises ValueError."""
        host, _, port = text.rpartition(":")
        return cls(host, int(port))

    @property
    def socket(self) -> Object:
        return {"socket_address": {"address": self.host, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class Rendering:
    """What Envoy is to serve: routes by listener, and why an Ingress is not wholly served."""

    version: str
    routes: Mapping[str, Object]
    problems: Mapping[Key, str]


def key(obj: Object) -> Key:
    """The namespace and name of an object."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def render(ingresses: Iterable[Object], services: Mapping[Key, Object]) -> Rendering:
    """What to serve for these Ingresses; where two claim a host, the older has it."""
    problems, hosts = {}, {name: _Hosts(name) for name in (EXTERNAL, INTERNAL)}
    for ingress in sorted(ingresses, key=lambda it: (it["metadata"]["creationTimestamp"], key(it))):
        found = list(_serve(ingress, services, hosts))
        if found:
            problems[key(ingress)] = "; ".join(dict.fromkeys(found))
    version = hashlib.sha256(json.dumps([it.served for it in hosts.values()]).encode()).hexdigest()[:16]
    return Rendering(version, {name: it.table(version) for name, it in hosts.items()}, problems)


def routes_file(version: str, table: Object) -> Object:
    """The content of a listener's ``routes_name``."""
    return {"version_info": version, "resources": [table]}


def routes_name(listener: str) -> str:
    return f"{listener}.json"


def bootstrap(directory: Path, listeners: Mapping[str, Address]) -> Object:
    """Envoy's own configuration: these listeners, and the other files in ``directory``; no admin port."""
    return {
        "node": {"id": "ingress", "cluster": "ingress"},
        "static_resources": {
            "listeners": [_listener(directory, name, at) for name, at in listeners.items()],
            "clusters": [
                _cluster(HTTP, "http_protocol_options"),
                _cluster(H2C, "http2_protocol_options"),
                {"name": NOWHERE, "type": "STATIC"},
            ],
        },
    }


def _serve(ingress: Object, services: Mapping[Key, Object], hosts: Mapping[str, _Hosts]) -> Iterator[str]:
    """Add an Ingress to the tables; yields what stands in its way."""
    namespace, name = key(ingress)
    for number, rule in enumerate(ingress["spec"].get("rules", ())):
        routes = []
        for path in rule["http"]["paths"]:
            splits = [split for split in path["splits"] if split.get("percent", 100)]
            found = [_find(services, split) for split in splits]
            yield from (_missing(split) for split, it in zip(splits, found, strict=True) if it is None)
            routes.append(_route(path, [_target(split, it) for split, it in zip(splits, found, strict=True)]))
        visible = (INTERNAL,) if rule.get("visibility") == "ClusterLocal" else (INTERNAL, EXTERNAL)
        for listener in visible:
            taken = hosts[listener].claim(f"{namespace}/{name}/{number}", rule.get("hosts", ()), routes)
            yield from (f"the host {host} belongs to {owner}" for host, owner in taken.items())


@dataclass(slots=True)
class _Hosts:
    """The route table of one listener, being made. Envoy refuses one in which a host stands twice."""

    listener: str
    served: list[Object] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)

    def claim(self, owner: str, hosts: Iterable[str], routes: list[Object]) -> dict[str, str]:
        """Serve ``routes`` at those hosts that are free; returns the owners of the others."""
        taken = {host: self.owners[host] for host in hosts if host in self.owners}
        if free := [host for host in dict.fromkeys(hosts) if host not in taken]:
            self.owners |= dict.fromkeys(free, owner)
            self.served.append({"name": owner, "domains": free, "routes": routes})
        return taken

    def table(self, version: str) -> Object:
        unknown = {"text_format_source": {"inline_string": "no route here for the host %REQ(:AUTHORITY)%\n"}}
        return {
            "@type": f"{_API}.config.route.v3.RouteConfiguration",
            "name": self.listener,
            "ignore_port_in_host_matching": True,
            "virtual_hosts": [
                *self.served,
                _answer("version", PROBE_HOST, {"status": 200, "body": {"inline_string": version}}),
                _answer("unknown", "*", {"status": 404, "body_format": unknown}),
            ],
        }


def _find(services: Mapping[Key, Object], split: Object) -> tuple[Address, str] | None:
    """Where the Service of a split is, and the cluster of its protocol; None where it has no address."""
    spec = services.get((split["serviceNamespace"], split["serviceName"]), {}).get("spec", {})
    if spec.get("type") == "ExternalName":  # a domain mapping's, to the Service of a Route: one step, to a gateway
        name, _, rest = spec["externalName"].partition(".")
        spec = services.get((rest.partition(".")[0], name), {}).get("spec", {})
    if spec.get("clusterIP", "None") in ("", "None"):
        return None
    for it in spec.get("ports", ()):
        if split["servicePort"] in (it["port"], it.get("name")):
            return Address(spec["clusterIP"], it["port"]), H2C if it.get("name") in ("http2", "h2c") else HTTP
    return None


def _missing(split: Object) -> str:
    where, port = f"{split['serviceNamespace']}/{split['serviceName']}", split["servicePort"]
    return f"the Service {where} has no cluster address at port {port} yet"


def _target(split: Object, found: tuple[Address, str] | None) -> Object:
    """One of a route's ``weighted_clusters``."""
    weight, added = split.get("percent", 100), split.get("appendHeaders", {})
    if found is None:
        return {"name": NOWHERE, "weight": weight}
    address, cluster = found
    return {"name": cluster, "weight": weight, **_headers({**added, DESTINATION: f"{address.host}:{address.port}"})}


def _cluster(name: str, protocol: str) -> Object:
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION},
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": {
                    "idle_timeout": _CONNECTION_AGE,
                    "max_connection_duration": _CONNECTION_AGE,
                },
                "explicit_http_config": {protocol: {}},
            }
        },
    }


def _route(path: Object, targets: list[Object]) -> Object:
    headers = [{"name": name, "string_match": match} for name, match in path.get("headers", {}).items()]
    action: Object = {
        "timeout": "0s",  # a request takes as long as it takes
        # Only what no Service can have seen is sent again.
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 3},
        "weighted_clusters": {"clusters": targets},
    }
    if host := path.get("rewriteHost"):
        action["host_rewrite_literal"] = host
    match = {"prefix": path.get("path") or "/", "headers": headers}
    return {"match": match, "route": action, **_headers(path.get("appendHeaders", {}))}


def _headers(added: Mapping[str, str]) -> Object:
    """What a client sends under these names is not for the Service."""
    return {
        "request_headers_to_add": [
            {"header": {"key": name, "value": value.replace("%", "%%")}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in added.items()
        ]
    }


def _answer(name: str, host: str, answer: Object) -> Object:
    return {"name": name, "domains": [host], "routes": [{"match": {"prefix": "/"}, "direct_response": answer}]}


def _file(path: Path) -> Object:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _listener(directory: Path, name: str, address: Address) -> Object:
    manager = {
        "@type": _NETWORK,
        "stat_prefix": name,
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "rds": {"route_config_name": name, "config_source": _file(directory / routes_name(name))},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": name, "address": address.socket, "filter_chains": [{"filters": filters}]}
