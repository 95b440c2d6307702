"""A service account's credentials as a kubeconfig, for a process that has no pod to find them in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from kaito.api.resources import Kind, Object
from kaito.embedded.knative.revision import PodFailure
from kaito.runtime.kube import Kube, KubeError

SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
#: Seconds. Kubelet renews a pod's token; a process reads its kubeconfig once, so its token outlives every session.
TOKEN_LIFETIME = 30 * 24 * 3600


def write_kubeconfig(kube: Kube, platform: Path, namespace: str, account: str, to: Path) -> None:
    """Write ``to``: the API server of the kubeconfig ``platform``, with a new token of ``account``."""
    try:
        answer = kube.create(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {"name": account, "namespace": namespace},
                "spec": {"expirationSeconds": TOKEN_LIFETIME},
            },
            subresource_of=SERVICE_ACCOUNT.path(namespace, account, "token"),
        )
    except KubeError as error:
        if error.status != 404:
            raise
        raise PodFailure(
            "ServiceAccountNotFound", f'serviceaccount "{account}" not found in namespace {namespace}: create it'
        ) from error
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "embedded", "cluster": _cluster(platform)}],
        "users": [{"name": account, "user": {"token": answer["status"]["token"]}}],
        "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": account, "namespace": namespace}}],
        "current-context": "embedded",
    }
    to.touch(mode=0o600)
    to.write_text(yaml.safe_dump(config))


def _cluster(kubeconfig: Path) -> Object:
    """The server and certificate authority of the current context; a file's content is taken in."""
    config: Any = yaml.safe_load(kubeconfig.read_text())
    contexts = {context["name"]: context["context"] for context in config["contexts"]}
    clusters = {cluster["name"]: cluster["cluster"] for cluster in config["clusters"]}
    cluster = clusters[contexts[config["current-context"]]["cluster"]]
    authority = cluster.get("certificate-authority-data")
    if not authority and (file := cluster.get("certificate-authority")):
        authority = base64.b64encode((kubeconfig.parent / file).read_bytes()).decode()
    return {"server": cluster["server"], **({"certificate-authority-data": authority} if authority else {})}
