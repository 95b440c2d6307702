"""CustomResourceDefinitions, generated from the pydantic types: ``python -m kaito.api.crd`` writes config/.

The API server gets the same rules as the functions because both come from the same types. Only what belongs to the
API server alone (printer columns, list-map keys, CEL) is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaito.api.claims import Machine, NodeClaim
from kaito.api.generated import generated
from kaito.api.kservice import Revision, Service
from kaito.api.meta import ApiModel
from kaito.api.resources import Object
from kaito.api.workspace import WORKSPACE_RULES, Workspace

ANYTHING: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True)
class Definition:
    """One CRD; ``model`` None means: the API server keeps whatever it is given."""

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    model: type[ApiModel] | None
    scope: str = "Namespaced"
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[tuple[str, str, int], ...] = ()
    rules: tuple[Object, ...] = ()

    @property
    def file_name(self) -> str:
        return f"{self.group}_{self.plural}.yaml"

    def manifest(self) -> Object:
        names: Object = {
            "kind": self.kind,
            "listKind": f"{self.kind}List",
            "plural": self.plural,
            "singular": self.kind.lower(),
        }
        if self.short_names:
            names["shortNames"] = list(self.short_names)
        if self.categories:
            names["categories"] = list(self.categories)
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{self.group}"},
            "spec": {
                "group": self.group,
                "names": names,
                "scope": self.scope,
                "versions": [self._version(name, storage=index == 0) for index, name in enumerate(self.versions)],
            },
        }

    def _version(self, name: str, *, storage: bool) -> Object:
        return {
            "name": name,
            "served": True,
            "storage": storage,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                {"name": title, "jsonPath": path, "type": "string", "priority": priority}
                for title, path, priority in self.columns
            ]
            + [{"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"}],
            "schema": {"openAPIV3Schema": self._schema()},
        }

    def _schema(self) -> Object:
        if self.model is None:
            return {"type": "object", "properties": {"spec": ANYTHING, "status": ANYTHING}}
        schema = structural(self.model)
        schema["properties"] = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            **schema["properties"],
            "metadata": {"type": "object"},
        }
        schema["required"] = [name for name in schema.get("required", []) if name != "metadata"]
        if self.rules:
            schema["x-kubernetes-validations"] = list(self.rules)
        return {key: value for key, value in schema.items() if value not in ([], {})}


def structural(model: type[ApiModel]) -> Object:
    """A pydantic model as a structural OpenAPI schema (no $ref, no null, no titles)."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    result: Object = _structural(schema, schema.get("$defs", {}))
    return result


def _structural(schema: Object, defs: Object) -> Object:
    if "$ref" in schema:
        target = defs[schema["$ref"].rpartition("/")[2]]
        return _structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, defs)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        if len(options) > 1:
            return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": o["type"]} for o in options]}
        return _structural({**options[0], **{k: v for k, v in schema.items() if k != "anyOf"}}, defs)
    if "const" in schema:
        return {"type": "string", "enum": [schema["const"]]}
    result: Object = {
        key: schema[key]
        for key in (
            "type", "description", "enum", "pattern", "format", "minimum", "minLength", "maxLength", "maxItems",
            "maxProperties", "required", "x-kubernetes-validations",
        )
        if key in schema
    }  # fmt: skip
    default = schema.get("default")
    if isinstance(default, (str, int)) and default:  # an absent field says as much as an empty one
        result["default"] = default
    if schema.get("type") == "array":
        result["items"] = _structural(schema["items"], defs)
        if schema["items"].get("$ref", "").endswith("/Condition"):
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    elif schema.get("type") == "object":
        additional = schema.get("additionalProperties")
        if "properties" in schema:
            result["properties"] = {name: _structural(value, defs) for name, value in schema["properties"].items()}
        elif isinstance(additional, dict):
            result["additionalProperties"] = _structural(additional, defs)
        else:
            result["x-kubernetes-preserve-unknown-fields"] = True
    return result


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


WORKSPACE_COLUMNS = (
    ("Instance", ".resource.instanceType", 0),
    ("ResourceReady", _condition("ResourceReady"), 0),
    ("InferenceReady", _condition("InferenceReady"), 0),
    ("WorkspaceReady", _condition("WorkspaceReady"), 0),
    ("JobStarted", _condition("JobStarted"), 1),
    ("WorkspaceSucceeded", _condition("WorkspaceSucceeded"), 1),
    ("State", ".status.state", 1),
    ("URL", ".status.url", 1),
)
CLAIM_COLUMNS = (
    ("Workspace", ".metadata.labels.kaito\\.sh/workspace", 0),
    ("Type", ".metadata.labels.node\\.kubernetes\\.io/instance-type", 0),
    ("Node", ".status.nodeName", 0),
    ("Ready", _condition("Ready"), 0),
    ("Reason", '.status.conditions[?(@.type=="Ready")].reason', 0),
)
SERVICE_COLUMNS = (
    ("URL", ".status.url", 0),
    ("LatestCreated", ".status.latestCreatedRevisionName", 0),
    ("LatestReady", ".status.latestReadyRevisionName", 0),
    ("Ready", _condition("Ready"), 0),
    ("Reason", '.status.conditions[?(@.type=="Ready")].reason', 0),
)

REVISION_COLUMNS = (
    ("Service", ".metadata.labels.serving\\.knative\\.dev/service", 0),
    ("Ready", _condition("Ready"), 0),
    ("Active", _condition("Active"), 0),
)

#: Ours, and the claims that are ours where no Karpenter has installed them.
CRDS = (
    Definition(
        "kaito.sh", "Workspace", "workspaces", ("v1alpha1", "v1beta1"), Workspace,
        short_names=("wk", "wks"), categories=("workspace",), columns=WORKSPACE_COLUMNS, rules=tuple(WORKSPACE_RULES),
    ),
    Definition("karpenter.sh", "Machine", "machines", ("v1alpha5",), Machine, "Cluster", columns=CLAIM_COLUMNS),
    Definition("karpenter.sh", "NodeClaim", "nodeclaims", ("v1",), NodeClaim, "Cluster", columns=CLAIM_COLUMNS),
)  # fmt: skip

#: Knative's, for the embedded API server only: a cluster has Knative itself.
EMBEDDED_CRDS = (
    Definition(
        "serving.knative.dev", "Service", "services", ("v1",), Service, short_names=("kservice", "ksvc"),
        categories=("all", "knative", "serving"), columns=SERVICE_COLUMNS,
    ),
    Definition(
        "serving.knative.dev", "Revision", "revisions", ("v1",), Revision, short_names=("rev",),
        categories=("all", "knative", "serving"), columns=REVISION_COLUMNS,
    ),
    Definition("eventing.knative.dev", "Broker", "brokers", ("v1",), None),
    Definition("eventing.knative.dev", "Trigger", "triggers", ("v1",), None),
    Definition("sources.knative.dev", "ApiServerSource", "apiserversources", ("v1",), None),
    Definition("sources.knative.dev", "PingSource", "pingsources", ("v1",), None),
)  # fmt: skip

CONFIG = Path(__file__).parents[2] / "config"
_GENERATOR = "kaito.api.crd"


def rendered() -> dict[Path, str]:
    """Every generated file under config/ with its text."""
    folders: tuple[tuple[str, tuple[Definition, ...]], ...] = (("crd", CRDS), ("embedded/crd", EMBEDDED_CRDS))
    files: dict[Path, str] = {}
    for folder, definitions in folders:
        for definition in definitions:
            files[CONFIG / folder / definition.file_name] = generated(definition.manifest(), _GENERATOR)
        kustomization: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [definition.file_name for definition in definitions],
        }
        files[CONFIG / folder / "kustomization.yaml"] = generated(kustomization, _GENERATOR)
    return files


def main() -> None:
    for path, text in rendered().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
