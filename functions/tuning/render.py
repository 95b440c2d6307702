"""The Job that tunes: Workspace and catalogue in, manifest out. Pure.

Its pod's containers go one after the other: what fetches the weights and the data, what trains, what pushes. So none
needs a privilege, or another's processes, and each can say what became of it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from functions.tuning.settings import Settings
from functions.tuning.work import Work
from kaito.api.claims import GPU
from kaito.api.images import Content, Mounted, mounted, pulled
from kaito.api.redaction import redacted
from kaito.api.resources import CONFIG_MAP, JOB, WORKSPACE_OWNER, Object
from kaito.api.status import controller_reference
from kaito.api.training import CONFIG_FILE
from kaito.api.trust import trusting
from kaito.api.workloads import (
    ADAPTER_FOLDER,
    CONFIG_MOUNT,
    DOCKER_CONFIG,
    HOME_MOUNT,
    HOME_VOLUME,
    MODEL_MOUNT,
    RESTRICTED,
    SHM_MOUNT,
    SHM_VOLUME,
    labels,
    tolerations,
)
from kaito.api.workspace import DataSource, Workspace

#: What its container is called, and with it the stage in which a tuning is.
CHECK, FETCH, TRAIN, PUSH = "check", "fetch", "train", "push"
#: What pulls an image is called so, and what it holds.
PULL: Final = "pull-"
#: Where the one that trains says how far it is.
PORT: Final = 5000
#: Says which tuning a Job is of, so that another is made where another is asked for.
DIGEST: Final = "kaito.sh/tuning-digest"
#: What the event source selects Jobs and their pods by.
MARK: Final = {"kaito.sh/tuning": "true"}
DATA_MOUNT: Final = "/mnt/data"
SECRET_MOUNT: Final = "/mnt/push-secret"  # noqa: S105
_SECRET: Final = {"name": "push-secret", "mountPath": SECRET_MOUNT, "readOnly": True}
#: Of the output directory; nothing else is in it.
ADAPTER: Final = "adapter"
#: By which a container says that only a person can help, and by which the kernel ends one that took too much memory.
FOR_GOOD, KILLED = 65, 137
#: Pods that may fail otherwise before the Job does: what a container can try again itself, it does.
RETRIES: Final = 3
USER: Final = 65532
MODEL_ANNOTATION: Final = "sh.kaito.model.name"


def render(workspace: Workspace, work: Work, settings: Settings) -> Object:
    """The Job."""
    meta = workspace.metadata
    spec: Object = {
        "backoffLimit": RETRIES,
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [FOR_GOOD, KILLED]}},
            ]
        },
        "template": {
            "metadata": {
                "labels": {**labels(meta), **MARK},
                "annotations": {"kubectl.kubernetes.io/default-container": TRAIN},
            },
            "spec": _pod(workspace, work, settings),
        },
    }
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "labels": {**labels(meta), **MARK, "app.kubernetes.io/managed-by": "kaito"},
            "annotations": {DIGEST: work.digest},
            "ownerReferences": [controller_reference(WORKSPACE_OWNER, meta)],
        },
        "spec": spec,
    }


def template(workspace: Workspace, work: Work) -> Object:
    """The installation's training config in the Workspace's namespace, for all that name none: whoever reads the
    Workspace finds it there, and may change it."""
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": work.config_map,
            "namespace": workspace.metadata.namespace,
            "labels": {"app.kubernetes.io/managed-by": "kaito"},
        },
        "data": {CONFIG_FILE: work.text},
    }


def _pod(workspace: Workspace, work: Work, settings: Settings) -> Object:
    assert workspace.tuning is not None
    base: Object = {
        "image": settings.training_image,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": RESTRICTED,
    }
    images = _images(workspace, work, base, settings)
    source, destination = workspace.tuning.input, workspace.tuning.output
    output = str(work.config.output)
    volumes = [
        HOME_VOLUME,
        *images.volumes,
        {"name": "config", "configMap": {"name": work.config_map}},
        {"name": "results", **(destination.volume_source or {"emptyDir": {}})},
    ]
    if not source.image:
        volumes.append({"name": "data", **(source.volume_source or {"emptyDir": {}})})
    results = {"name": "results", "mountPath": output}
    steps = [_check(destination.image, base)] if destination.image else []
    steps += images.pullers
    if source.urls:
        steps.append(_fetch(source, base, settings))
    steps.append(_train(workspace, work, base, [HOME_MOUNT, *images.mounts, results]))
    if work.gpus:
        volumes.append(SHM_VOLUME)
    if destination.image:
        volumes.append(
            {"name": "push-secret", "secret": {"secretName": destination.image_push_secret, "optional": True}}
        )
        steps.append(_push(workspace, work, base, [HOME_MOUNT, {**results, "readOnly": True}]))
    *first, last = steps
    spec: Object = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": USER},  # or it could not write to a volume of somebody's
        "initContainers": first,
        "containers": [last],
        "volumes": volumes,
    }
    if images.secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in images.secrets]
    if selector := workspace.resource.label_selector.labels():
        spec["nodeSelector"] = selector
    if tolerates := tolerations(work.gpus):
        spec["tolerations"] = tolerates
    return trusting({name: value for name, value in spec.items() if value != []}, settings.trust_bundle)


def _images(workspace: Workspace, work: Work, base: Object, settings: Settings) -> Mounted:
    """Those of the model, and of the data where they come in one."""
    assert workspace.tuning is not None
    options, source = workspace.tuning.preset.preset_options, workspace.tuning.input
    weights, secrets = f"{MODEL_MOUNT}/{work.model.weights}", tuple(options.image_pull_secrets)
    contents = [
        Content("model", options.image or work.model.image, MODEL_MOUNT, work.model.weights, weights, secrets),
    ]
    if source.image:
        secrets = tuple(source.image_pull_secrets)
        contents.append(Content("data", source.image, DATA_MOUNT, ADAPTER_FOLDER, DATA_MOUNT, secrets))
    return mounted(contents) if settings.image_volumes else pulled(contents, base, HOME_MOUNT)


def _check(image: str, base: Object) -> Object:
    """Whether the result can be pushed, before anything takes its time. It also says that there is no secret."""
    return {
        **base,
        "name": CHECK,
        "command": ["python", "-m", "oci.check"],
        "args": [image, f"--credentials={SECRET_MOUNT}/{DOCKER_CONFIG}"],
        "volumeMounts": [HOME_MOUNT, _SECRET],
    }


def _fetch(source: DataSource, base: Object, settings: Settings) -> Object:
    return {
        **base,
        "name": FETCH,
        "command": ["python", "-m", "training.download"],
        # What a Workspace gives comes after --, or it could allow itself private addresses.
        "args": [*(["--allow-private"] if settings.private_urls else []), "--", DATA_MOUNT, *source.urls],
        "volumeMounts": [HOME_MOUNT, {"name": "data", "mountPath": DATA_MOUNT}],
    }


def _train(workspace: Workspace, work: Work, base: Object, mounts: list[Object]) -> Object:
    assert workspace.tuning is not None
    mounts = [*mounts, {"name": "config", "mountPath": CONFIG_MOUNT, "readOnly": True}]
    if not workspace.tuning.input.image:
        mounts.append({"name": "data", "mountPath": DATA_MOUNT, "readOnly": True})
    container: Object = {
        **base,
        "name": TRAIN,
        "command": ["python", "-m", "training.launch"],
        "args": [
            f"--processes={max(1, work.gpus)}",
            f"--weights={MODEL_MOUNT}/{work.model.weights}",
            f"--name={work.model.name}",
            f"--data={DATA_MOUNT}",
            f"--config={CONFIG_MOUNT}/{CONFIG_FILE}",
            f"--method={work.method}",
            f"--output={work.config.output}",
        ],
        "env": [{"name": "PORT", "value": str(PORT)}],
        "ports": [{"name": "progress", "containerPort": PORT}],
    }
    if work.gpus:
        mounts.append(SHM_MOUNT)
        container["resources"] = {"limits": {GPU: str(work.gpus)}}
    return {**container, "volumeMounts": mounts}


def _push(workspace: Workspace, work: Work, base: Object, mounts: list[Object]) -> Object:
    assert workspace.tuning is not None
    annotations = {
        MODEL_ANNOTATION: work.model.name,
        "sh.kaito.tuning.method": work.method,
        "sh.kaito.tuning.config.digest": f"sha256:{hashlib.sha256(redacted(work.text).encode()).hexdigest()}",
    }
    return {
        **base,
        "name": PUSH,
        "command": ["python", "-m", "oci.push"],
        "args": [
            f"{work.config.output}/{ADAPTER}",
            workspace.tuning.output.image,
            f"--credentials={SECRET_MOUNT}/{DOCKER_CONFIG}",
            *(f"--annotation={key}={value}" for key, value in annotations.items()),
        ],
        "volumeMounts": [*mounts, _SECRET],
    }
