"""A Node of the cluster's own, as its kubelet would have registered it."""

from __future__ import annotations

from kaito.api.resources import NODE, Object
from kaito.runtime.kube import Kube


def bring_node(kube: Kube, name: str, *, gpus: int = 1) -> Object:
    """Ready, untainted, with no label but its kubelet's."""
    meta = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    kube.create({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"providerID": f"test://{name}"}})
    kube.patch(NODE, name, None, {"spec": {"taints": None}})  # admission gave it not-ready
    offered = {"cpu": "8", "pods": "110", "nvidia.com/gpu": str(gpus)}
    status: Object = {
        "capacity": offered,
        "allocatable": offered,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "kubelet is posting ready status",
                "lastHeartbeatTime": "2026-11-23T12:00:00Z",
                "lastTransitionTime": "2026-11-23T12:00:00Z",
            }
        ],
    }
    head = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    return kube.apply({**head, "status": status}, manager="kubelet", subresource="status")
