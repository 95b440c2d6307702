"""Knative's Ingresses as Envoy's configuration: pure, dicts in and dicts out.

Two listeners: the external one serves the rules that are visible from outside, the internal one serves all. A split
becomes a cluster at the ClusterIP of its Service, so that kube-proxy is who follows a Revision from the activator to
its pods and back. A cluster's name says all that is in it: one is added or removed, never changed under a request.
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
CLUSTERS_FILE: Final = "clusters.json"
#: The host at which every listener answers with the version of the rendering that it serves.
PROBE_HOST: Final = "version.ingress.invalid"
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
    """What Envoy is to serve: clusters by name, routes by listener, and why an Ingress is not wholly served."""

    version: str
    clusters: Mapping[str, Object]
    routes: Mapping[str, Object]
    problems: Mapping[Key, str]


def key(obj: Object) -> Key:
    """The namespace and name of an object."""
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def render(ingresses: Iterable[Object], services: Mapping[Key, Object]) -> Rendering:
    """What to serve for these Ingresses; where two claim a host, the older has it."""
    clusters, problems, hosts = _Clusters(services), {}, {name: _Hosts(name) for name in (EXTERNAL, INTERNAL)}
    for ingress in sorted(ingresses, key=lambda it: (it["metadata"]["creationTimestamp"], key(it))):
        found = list(_serve(ingress, clusters, hosts))
        if found:
            problems[key(ingress)] = "; ".join(dict.fromkeys(found))
    digest = hashlib.sha256(json.dumps([clusters.made, [it.served for it in hosts.values()]]).encode())
    version = digest.hexdigest()[:16]
    return Rendering(version, clusters.made, {name: it.table(version) for name, it in hosts.items()}, problems)


def clusters_file(version: str, clusters: Mapping[str, Object]) -> Object:
    """The content of ``CLUSTERS_FILE``."""
    return {"version_info": version, "resources": list(clusters.values())}


def routes_file(version: str, table: Object) -> Object:
    """The content of a listener's ``routes_name``: Envoy wants one file for each route table."""
    return {"version_info": version, "resources": [table]}


def routes_name(listener: str) -> str:
    return f"{listener}.json"


def bootstrap(directory: Path, listeners: Mapping[str, Address]) -> Object:
    """Envoy's own configuration: these listeners, and the other files in ``directory``; no admin port."""
    return {
        "node": {"id": "ingress", "cluster": "ingress"},
        "dynamic_resources": {"cds_config": _file(directory / CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(directory, name, at) for name, at in listeners.items()]},
    }


def _serve(ingress: Object, clusters: _Clusters, hosts: Mapping[str, _Hosts]) -> Iterator[str]:
    """Add an Ingress to the tables; yields what stands in its way."""
    namespace, name = key(ingress)
    for number, rule in enumerate(ingress["spec"].get("rules", ())):
        routes = []
        for path in rule["http"]["paths"]:
            splits = [split for split in path["splits"] if split.get("percent", 100)]
            named = [clusters.of(split) for split in splits]
            yield from (problem for _, problem in named if problem)
            routes.append(_route(path, splits, [cluster for cluster, _ in named]))
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


@dataclass(slots=True)
class _Clusters:
    """The clusters of the splits that were asked for."""

    services: Mapping[Key, Object]
    made: dict[str, Object] = field(default_factory=dict)

    def of(self, split: Object) -> tuple[str, str]:
        """The name of its cluster, and why that has no address, where it has none: it then answers 503."""
        where, port = (split["serviceNamespace"], split["serviceName"]), split["servicePort"]
        found, spelt = self._find(where, port), "/".join(where)
        name = "{} {}:{} {}".format(spelt, *found) if found else f"{spelt} without an address"
        self.made[name] = _cluster(name, found)
        return name, "" if found else f"the Service {spelt} has no cluster address at port {port} yet"

    def _find(self, where: Key, port: int | str) -> tuple[str, int, str] | None:
        """Address, port and protocol."""
        spec = self.services.get(where, {}).get("spec", {})
        if spec.get("type") == "ExternalName":  # a domain mapping's, to the Service of a Route: one step, to a gateway
            name, _, rest = spec["externalName"].partition(".")
            spec = self.services.get((rest.partition(".")[0], name), {}).get("spec", {})
        if spec.get("clusterIP", "None") in ("", "None"):
            return None
        for it in spec.get("ports", ()):
            if port in (it["port"], it.get("name")):
                return spec["clusterIP"], it["port"], "h2c" if it.get("name") in ("http2", "h2c") else "http"
        return None


def _cluster(name: str, found: tuple[str, int, str] | None) -> Object:
    endpoints = [{"endpoint": {"address": Address(found[0], found[1]).socket}}] if found else []
    protocol = "http2_protocol_options" if found and found[2] == "h2c" else "http_protocol_options"
    return {
        "@type": f"{_API}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
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


def _route(path: Object, splits: list[Object], clusters: list[str]) -> Object:
    headers = [{"name": name, "string_match": match} for name, match in path.get("headers", {}).items()]
    action: Object = {
        "timeout": "0s",  # a request takes as long as it takes
        # Only what no Service can have seen is sent again.
        "retry_policy": {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 3},
        "weighted_clusters": {
            "clusters": [
                {"name": cluster, "weight": split.get("percent", 100), **_headers(split)}
                for split, cluster in zip(splits, clusters, strict=True)
            ]
        },
    }
    if host := path.get("rewriteHost"):
        action["host_rewrite_literal"] = host
    return {"match": {"prefix": path.get("path") or "/", "headers": headers}, "route": action, **_headers(path)}


def _headers(part: Object) -> Object:
    """``appendHeaders`` of a path or a split; what a client sends under these names is not for the Service."""
    added = part.get("appendHeaders", {})
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
