"""The kinds this project reads and writes, and where the API server keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: A Kubernetes object as JSON, the form in which it is read, written, diffed and recorded.
Object = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """An apiVersion and kind, for example ``Kind("kaito.sh/v1alpha1", "Workspace")``."""

    api_version: str
    kind: str

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Kind:
        return cls(obj["apiVersion"], obj["kind"])

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def plural(self) -> str:
        """The resource name, guessed as ApiServerSource does (apimachinery UnsafeGuessKindToResource)."""
        singular = self.kind.lower()
        if singular.endswith("s"):
            return singular + "es"
        if singular.endswith("y"):
            return singular[:-1] + "ies"
        return singular + "s"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path; no namespace means cluster-scoped, or all namespaces of a list."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


WORKSPACE = Kind("kaito.sh/v1alpha1", "Workspace")
#: As an ownerReference names it: by the version that the API server prefers, which the garbage collector watches. Of a
#: child that names another it reads both the child and its owner anew.
WORKSPACE_OWNER = Kind("kaito.sh/v1beta1", "Workspace")
MACHINE = Kind("karpenter.sh/v1alpha5", "Machine")
NODE_CLAIM = Kind("karpenter.sh/v1", "NodeClaim")
KNATIVE_SERVICE = Kind("serving.knative.dev/v1", "Service")
REVISION = Kind("serving.knative.dev/v1", "Revision")
API_SERVER_SOURCE = Kind("sources.knative.dev/v1", "ApiServerSource")
PING_SOURCE = Kind("sources.knative.dev/v1", "PingSource")
BROKER = Kind("eventing.knative.dev/v1", "Broker")
TRIGGER = Kind("eventing.knative.dev/v1", "Trigger")
NODE = Kind("v1", "Node")
POD = Kind("v1", "Pod")
SERVICE = Kind("v1", "Service")
STATEFUL_SET = Kind("apps/v1", "StatefulSet")
JOB = Kind("batch/v1", "Job")
CONTROLLER_REVISION = Kind("apps/v1", "ControllerRevision")
CONFIG_MAP = Kind("v1", "ConfigMap")
PERSISTENT_VOLUME_CLAIM = Kind("v1", "PersistentVolumeClaim")
SECRET = Kind("v1", "Secret")
NAMESPACE = Kind("v1", "Namespace")
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def controller_of(obj: Mapping[str, Any], kinds: Iterable[Kind]) -> tuple[Kind, Mapping[str, Any]] | None:
    """The ownerReference of the object's controller, and which of ``kinds`` that is (in any version), if it is one."""
    wanted = {(kind.group, kind.kind): kind for kind in kinds}
    for reference in (obj.get("metadata") or {}).get("ownerReferences") or ():
        group = str(reference.get("apiVersion", "")).rpartition("/")[0]
        kind = wanted.get((group, reference.get("kind", "")))
        if kind is not None and reference.get("controller"):
            return kind, reference
    return None
