"""Whom a pod's containers trust when they connect by TLS, where an installation says it: the authorities in a ConfigMap
of the pod's namespace, as trust-manager puts one into each. Pure."""

from __future__ import annotations

from typing import Final

from kaito.api.resources import Object

#: The ConfigMap's key: all authorities, for those that everybody trusts count no more beside it.
BUNDLE_FILE: Final = "ca-certificates.crt"
BUNDLE_MOUNT: Final = "/etc/kaito/trust"
#: What OpenSSL and requests take it from.
_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_VOLUME: Final = "trust"


def trusting(pod: Object, config_map: str) -> Object:
    """The pod's spec, with ``config_map`` for all of its containers; as it was where that is empty."""
    if not config_map:
        return pod
    made = {**pod, "volumes": [*pod.get("volumes", ()), {"name": _VOLUME, "configMap": {"name": config_map}}]}
    for kind in ("initContainers", "containers"):
        if kind in pod:
            made[kind] = [_container(it) for it in pod[kind]]
    return made


def _container(container: Object) -> Object:
    mount = {"name": _VOLUME, "mountPath": BUNDLE_MOUNT, "readOnly": True}
    variables = [{"name": name, "value": f"{BUNDLE_MOUNT}/{BUNDLE_FILE}"} for name in _VARIABLES]
    return {
        **container,
        "env": [*container.get("env", ()), *variables],
        "volumeMounts": [*container.get("volumeMounts", ()), mount],
    }
