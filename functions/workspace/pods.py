"""What runs on a Workspace's nodes: the pod template of a preset's server, or the user's own. Pure.

The same template serves a Knative Service and, with ``gang``, a StatefulSet.
"""

from __future__ import annotations

import hashlib
import math

from functions.workspace.settings import Settings
from functions.workspace.work import CONFIG_FILE, Work
from kaito.api.claims import GPU
from kaito.api.images import Content, mounted, pulled
from kaito.api.pods import PodTemplate
from kaito.api.redaction import redacted
from kaito.api.resources import Object
from kaito.api.tracing import ENDPOINT, PARENT, VARIABLE, traceparent
from kaito.api.trust import trusting
from kaito.api.workloads import (
    ADAPTER_FOLDER,
    CONFIG_MOUNT,
    HOME_MOUNT,
    HOME_VOLUME,
    MODEL_MOUNT,
    RESTRICTED,
    SHM_MOUNT,
    SHM_VOLUME,
    labels,
    tolerations,
)
from kaito.api.workspace import Workspace
from presets import ModelPreset

ADAPTER_MOUNT = "/mnt/adapter"
PORT = 5000
#: torch.distributed's, on the gang's first pod.
RENDEZVOUS_PORT = 29500
#: A mounted ConfigMap changes in a pod that is running; whoever reads it at its start has to be started again.
CONFIG_HASH = "kaito.sh/config-hash"


def own_pod(workspace: Workspace, work: Work) -> Object:
    """The user's pod template, on the Workspace's nodes."""
    assert workspace.inference is not None
    assert workspace.inference.template is not None
    given = PodTemplate.model_validate(workspace.inference.template)
    spec = {**workspace.inference.template["spec"]}
    if selector := {**(given.spec.node_selector or {}), **workspace.resource.label_selector.labels()}:
        spec["nodeSelector"] = selector
    tolerated = list(given.spec.tolerations or ())
    if tolerates := [*tolerated, *(it for it in tolerations(work.sku.gpus) if it not in tolerated)]:
        spec["tolerations"] = tolerates
    metadata = {
        "labels": {**(given.metadata.labels or {}), **labels(workspace.metadata)},
        "annotations": dict(given.metadata.annotations or {}),
    }
    return {"metadata": metadata, "spec": spec}


def preset_pod(workspace: Workspace, model: ModelPreset, work: Work, settings: Settings) -> Object:
    """The inference server with a preset's weights, its adapters and its settings."""
    assert workspace.inference is not None
    container = _container(workspace, model, work, settings.serving_image)
    if settings.traces:
        container["env"] = [*container.get("env", ()), *_traced(workspace, settings.traces)]
    contents = _contents(workspace, model)
    if settings.image_volumes:
        images = mounted(contents)
    else:
        images = pulled(contents, {name: container[name] for name in ("image", "securityContext")}, HOME_MOUNT)
    volumes: list[Object] = [HOME_VOLUME, *images.volumes]
    mounts = [HOME_MOUNT, *images.mounts]
    if _gpus(model, work):
        volumes.append(SHM_VOLUME)
        mounts.append(SHM_MOUNT)
        container["resources"] = {"limits": {GPU: str(work.sku.gpus)}}
    if work.config:
        volumes.append({"name": "config", "configMap": {"name": workspace.inference.config}})
        mounts.append({"name": "config", "mountPath": CONFIG_MOUNT, "readOnly": True})
    spec: Object = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "containers": [{**container, "volumeMounts": mounts}],
        "volumes": volumes,
    }
    if selector := workspace.resource.label_selector.labels():
        spec["nodeSelector"] = selector
    if images.pullers:
        spec["initContainers"] = list(images.pullers)
    if images.secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in images.secrets]
    if tolerates := tolerations(work.sku.gpus):
        spec["tolerations"] = tolerates
    if work.gang:
        spec["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_one_a_node(workspace)]}
        }
    if images.pullers:
        spec = trusting(spec, settings.trust_bundle)
    annotations = {CONFIG_HASH: hashlib.sha256(redacted(work.config).encode()).hexdigest()[:16]} if work.config else {}
    return {"metadata": {"labels": labels(workspace.metadata), "annotations": annotations}, "spec": spec}


def _contents(workspace: Workspace, model: ModelPreset) -> list[Content]:
    """The model's weights, and each adapter in a folder of its name."""
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    options = workspace.inference.preset.preset_options
    image, secrets = options.image or model.image, tuple(options.image_pull_secrets)
    contents = [Content("model", image, MODEL_MOUNT, model.weights, f"{MODEL_MOUNT}/{model.weights}", secrets)]
    for number, it in enumerate(workspace.inference.adapters):
        path, secrets = f"{ADAPTER_MOUNT}/{it.source.name}", tuple(it.source.image_pull_secrets)
        contents.append(Content(f"adapter-{number}", it.source.image, path, ADAPTER_FOLDER, path, secrets))
    return contents


def headless(workspace: Workspace) -> str:
    """The name of the Service by which a gang's pods know each other."""
    return f"{workspace.metadata.name}-headless"


def _container(workspace: Workspace, model: ModelPreset, work: Work, image: str) -> Object:
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    health: Object = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1}
    flags = [
        f"--weights={MODEL_MOUNT}/{model.weights}",
        f"--name={workspace.inference.preset.name}",
        f"--pipeline={model.pipeline}",
        f"--torch-dtype={model.torch_dtype}",
        *(f"--adapter={ADAPTER_MOUNT}/{it.source.name}={it.strength}" for it in workspace.inference.adapters),
        *([f"--config={CONFIG_MOUNT}/{CONFIG_FILE}"] if work.config else []),
    ]
    return {
        "name": "model",
        "image": image,
        **(
            _torchrun(workspace, model, flags) if work.gang else {"command": ["python", "-m", "serving"], "args": flags}
        ),
        "ports": [{"containerPort": PORT}],
        "startupProbe": {**health, "failureThreshold": model.readiness_minutes * 60},
        "readinessProbe": dict(health),
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "securityContext": RESTRICTED,
    }


def _traced(workspace: Workspace, traces: str) -> list[Object]:
    """Where the server sends its spans, and whose trace they are in."""
    name = VARIABLE if traces.startswith("file:") else ENDPOINT
    parent = traceparent(workspace.metadata.uid)
    return [{"name": name, "value": traces}, {"name": PARENT, "value": parent}]


def _torchrun(workspace: Workspace, model: ModelPreset, flags: list[str]) -> Object:
    """One process a GPU that the model needs, on all nodes alike; the first pod leads, and answers."""
    meta, nodes = workspace.metadata, workspace.resource.count
    first = f"{meta.name}-0.{headless(workspace)}.{meta.namespace}.svc"
    ordinal = {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}
    return {
        "command": ["python", "-m", "torch.distributed.run"],
        "args": [
            f"--nnodes={nodes}",
            f"--nproc-per-node={max(1, math.ceil(model.inference.gpus / nodes))}",
            "--node-rank=$(POD_INDEX)",
            f"--master-addr={first}",
            f"--master-port={RENDEZVOUS_PORT}",
            "--max-restarts=0",  # a gang starts anew as a whole: kubelet's work
            "--module",
            "serving",
            *flags,
        ],
        "env": [{"name": "POD_INDEX", "valueFrom": ordinal}, {"name": "PORT", "value": str(PORT)}],
    }


def _gpus(model: ModelPreset, work: Work) -> int:
    return work.sku.gpus if model.inference.gpus else 0


def _one_a_node(workspace: Workspace) -> Object:
    return {"labelSelector": {"matchLabels": labels(workspace.metadata)}, "topologyKey": "kubernetes.io/hostname"}
