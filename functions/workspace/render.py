"""The Knative Service that serves a Workspace's preset. Pure: Workspace and catalogue in, manifest out."""

from __future__ import annotations

import hashlib
import json

from kaito.api.claims import GPU
from kaito.api.resources import KNATIVE_SERVICE, WORKSPACE, Object
from kaito.api.status import controller_reference
from kaito.api.workspace import ANNOTATION_SCALE_TO_ZERO, LABEL_NAMESPACE, LABEL_WORKSPACE, Workspace
from presets import ModelPreset, Sku

#: Says which rendering an object was applied from, so that a field we no longer set is noticed too.
APPLIED_HASH = "kaito.sh/applied-hash"
MODEL_MOUNT = "/mnt/model"
#: $HOME and $TMPDIR of the serving image: torch does not even import where it cannot write somewhere.
HOME = "/home/kaito"
PORT = 5000


def inference_service(workspace: Workspace, model: ModelPreset, sku: Sku, serving_image: str) -> Object:
    """One pod on the Workspace's nodes; named like the Workspace, so that http://NAME.NAMESPACE/chat reaches it."""
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    meta, options = workspace.metadata, workspace.inference.preset.preset_options
    to_zero = meta.annotations.get(ANNOTATION_SCALE_TO_ZERO) == "true"
    gpus = sku.gpus if model.inference.gpus else 0
    spec: Object = {
        "timeoutSeconds": 600,
        "responseStartTimeoutSeconds": 600,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [_container(model, serving_image, gpus)],
        "volumes": [
            {
                "name": "model",
                "image": {"reference": options.image or model.image, "pullPolicy": "IfNotPresent"},
            },
            {"name": "home", "emptyDir": {}},
        ],
    }
    if selector := workspace.resource.label_selector.labels():
        spec["nodeSelector"] = selector
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if sku.gpus:  # also a model that needs none may run there
        spec["tolerations"] = [
            {"key": GPU, "operator": "Exists", "effect": "NoSchedule"},
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        ]
    if gpus:
        # torch's workers share tensors through /dev/shm, which a container has 64 MiB of by default.
        spec["volumes"].append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        spec["containers"][0]["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    labels = {LABEL_WORKSPACE: meta.name, LABEL_NAMESPACE: meta.namespace}
    service: Object = {
        "apiVersion": KNATIVE_SERVICE.api_version,
        "kind": KNATIVE_SERVICE.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": labels,
            "ownerReferences": [controller_reference(WORKSPACE, meta)],
        },
        "spec": {
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "autoscaling.knative.dev/min-scale": "0" if to_zero else "1",
                        "autoscaling.knative.dev/max-scale": "1",
                        "serving.knative.dev/progress-deadline": f"{model.readiness_minutes}m",
                    },
                },
                "spec": spec,
            }
        },
    }
    service["metadata"]["annotations"] = {APPLIED_HASH: digest(service)}
    return service


def _container(model: ModelPreset, image: str, gpus: int) -> Object:
    health: Object = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1}
    container: Object = {
        "name": "model",
        "image": image,
        "command": ["python", "-m", "serving"],
        "args": [
            f"--weights={MODEL_MOUNT}/{model.weights}",
            f"--pipeline={model.pipeline}",
            f"--torch-dtype={model.torch_dtype}",
        ],
        "ports": [{"containerPort": PORT}],
        "startupProbe": {**health, "failureThreshold": model.readiness_minutes * 60},
        "readinessProbe": dict(health),
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "volumeMounts": [
            {"name": "model", "mountPath": MODEL_MOUNT, "readOnly": True},
            {"name": "home", "mountPath": HOME},
        ],
        # What the Pod Security profile "restricted" asks for, and nothing to write to but the volumes.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if gpus:
        container["resources"] = {"limits": {GPU: str(gpus)}}
    return container


def digest(manifest: Object) -> str:
    """A short name for exactly this manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
