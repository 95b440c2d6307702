"""The objects that carry a Workspace's model: Workspace and catalogue in, manifests out. Pure.

All have the Workspace's name, so that http://NAME.NAMESPACE/chat reaches the model, whatever carries it.
"""

from __future__ import annotations

import hashlib
import json

from functions.workspace.idle import goes_to_zero
from functions.workspace.pods import PORT, RENDEZVOUS_PORT, headless, own_pod, preset_pod
from functions.workspace.settings import Settings
from functions.workspace.work import LOAD_BALANCER_SUFFIX, Work
from kaito.api.redaction import redacted
from kaito.api.resources import KNATIVE_SERVICE, SERVICE, STATEFUL_SET, WORKSPACE_OWNER, Kind, Object
from kaito.api.status import controller_reference
from kaito.api.workloads import labels
from kaito.api.workspace import ANNOTATION_LOAD_BALANCER, ANNOTATION_SCALE_TO_ZERO, Workspace

#: Says which rendering an object was applied from, so that a field we no longer set is noticed too.
APPLIED_HASH = "kaito.sh/applied-hash"
#: What the event source selects StatefulSets by.
MANAGED = {"app.kubernetes.io/managed-by": "kaito"}
#: What it selects Revisions by, which have their template's labels: of others nobody has to hear.
AT_ZERO = {ANNOTATION_SCALE_TO_ZERO: "true"}
#: Of a pod template, whose pods we know nothing of.
PROGRESS_DEADLINE = "30m"
#: Knative's queue-proxy, which every request to its pods goes through.
QUEUE_PROXY_PORT = 8012
HTTP_PORT = 80
MAX_REQUEST_SECONDS = 600


def carriers(workspace: Workspace, *, gang: bool, balanced: bool) -> tuple[tuple[Kind, str], ...]:
    """Kind and name of all that ``render`` may make; what runs the model is the first."""
    name = workspace.metadata.name
    if gang:
        return ((STATEFUL_SET, name), (SERVICE, headless(workspace)), (SERVICE, name))
    return ((KNATIVE_SERVICE, name), *([(SERVICE, name + LOAD_BALANCER_SUFFIX)] if balanced else []))


def render(workspace: Workspace, work: Work, settings: Settings) -> tuple[Object, ...]:
    """The objects, what runs the model first."""
    pod = own_pod(workspace, work) if work.model is None else preset_pod(workspace, work.model, work, settings)
    balanced = is_balanced(workspace.metadata.annotations)
    if work.gang:
        selector = {**labels(workspace.metadata), "apps.kubernetes.io/pod-index": "0"}
        made = [
            _stateful_set(workspace, pod),
            _peers(workspace),
            _service(workspace, workspace.metadata.name, selector, PORT, balanced=balanced),
        ]
    else:
        made = [_knative_service(workspace, work, pod)]
        if balanced:
            name = workspace.metadata.name + LOAD_BALANCER_SUFFIX
            made.append(_service(workspace, name, labels(workspace.metadata), QUEUE_PROXY_PORT, balanced=True))
    for obj in made:
        obj["metadata"].setdefault("annotations", {})[APPLIED_HASH] = digest(obj)
    return tuple(made)


def is_balanced(annotations: dict[str, str]) -> bool:
    """Is there a load balancer for what has these annotations? A Knative Service is marked like its Workspace."""
    return annotations.get(ANNOTATION_LOAD_BALANCER) == "True"


def digest(manifest: Object) -> str:
    """A short name for exactly this manifest."""
    return hashlib.sha256(json.dumps(redacted(manifest), sort_keys=True).encode()).hexdigest()[:16]


def _knative_service(workspace: Workspace, work: Work, pod: Object) -> Object:
    """One pod of a preset, on the one node; of a pod template one on each."""
    to_zero = goes_to_zero(workspace)
    most = str(workspace.resource.count)
    deadline = f"{work.model.readiness_minutes}m" if work.model else PROGRESS_DEADLINE
    annotations = {
        "autoscaling.knative.dev/min-scale": "0" if to_zero else most,
        "autoscaling.knative.dev/max-scale": most,
        "serving.knative.dev/progress-deadline": deadline,
        **pod["metadata"]["annotations"],
    }
    spec = {"timeoutSeconds": MAX_REQUEST_SECONDS, "responseStartTimeoutSeconds": MAX_REQUEST_SECONDS, **pod["spec"]}
    marked = {**pod["metadata"]["labels"], **(AT_ZERO if to_zero else {})}
    template = {"metadata": {"labels": marked, "annotations": annotations}, "spec": spec}
    service = _child(KNATIVE_SERVICE, workspace, workspace.metadata.name, {"template": template})
    if is_balanced(workspace.metadata.annotations):
        service["metadata"]["annotations"] = {ANNOTATION_LOAD_BALANCER: "True"}
    return service


def _stateful_set(workspace: Workspace, pod: Object) -> Object:
    """One pod a node, all started at once: none is ready before all are."""
    spec: Object = {
        "replicas": workspace.resource.count,
        "serviceName": headless(workspace),
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels(workspace.metadata)},
        "template": pod,
    }
    return _child(STATEFUL_SET, workspace, workspace.metadata.name, spec)


def _peers(workspace: Workspace) -> Object:
    """Names for the pods of a gang, which have to find each other before any is ready."""
    spec: Object = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": labels(workspace.metadata),
        "ports": [{"name": "torch", "port": RENDEZVOUS_PORT}],
    }
    return _child(SERVICE, workspace, headless(workspace), spec)


def _service(workspace: Workspace, name: str, selector: dict[str, str], port: int, *, balanced: bool) -> Object:
    spec: Object = {
        "type": "LoadBalancer" if balanced else "ClusterIP",
        "selector": selector,
        "ports": [{"name": "http", "port": HTTP_PORT, "targetPort": port}],
    }
    return _child(SERVICE, workspace, name, spec)


def _child(kind: Kind, workspace: Workspace, name: str, spec: Object) -> Object:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": workspace.metadata.namespace,
            "labels": {**labels(workspace.metadata), **MANAGED},
            "ownerReferences": [controller_reference(WORKSPACE_OWNER, workspace.metadata)],
        },
        "spec": spec,
    }
