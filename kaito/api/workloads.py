"""What all pods that run for a Workspace have in common. Pure."""

from __future__ import annotations

from typing import Final

from kaito.api.claims import GPU
from kaito.api.meta import ObjectMeta
from kaito.api.resources import Object
from kaito.api.workspace import LABEL_NAMESPACE, LABEL_WORKSPACE

#: $HOME and $TMPDIR of our images: torch does not even import where it cannot write somewhere.
HOME: Final = "/home/kaito"
MODEL_MOUNT: Final = "/mnt/model"
CONFIG_MOUNT: Final = "/mnt/config"
#: Of an adapter's image.
ADAPTER_FOLDER: Final = "data"
#: The key of a Secret of type kubernetes.io/dockerconfigjson.
DOCKER_CONFIG: Final = ".dockerconfigjson"
#: torch's workers share tensors through /dev/shm, which a container has 64 MiB of by default.
SHM_VOLUME: Final = {"name": "shm", "emptyDir": {"medium": "Memory"}}
SHM_MOUNT: Final = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108
HOME_VOLUME: Final = {"name": "home", "emptyDir": {}}
HOME_MOUNT: Final = {"name": "home", "mountPath": HOME}
#: What the Pod Security profile "restricted" asks for, and nothing to write to but the volumes.
RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(workspace: ObjectMeta) -> dict[str, str]:
    """How a Workspace's children are found again."""
    return {LABEL_WORKSPACE: workspace.name, LABEL_NAMESPACE: workspace.namespace}


def tolerations(gpus: int) -> list[Object]:
    """Of the nodes that a Workspace has; also a model that needs no GPU may run on one that has some."""
    if not gpus:
        return []
    return [
        {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    ]
