"""The types of what the runner reads in a Service's template.

The embedded CRD keeps templates free-form, where Knative's API would refuse a field of the wrong type. Which fields
there may be is admission's business.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from kaito.api.claims import GPU
from kaito.api.meta import ApiModel
from kaito.api.resources import Object

_WHOLE: Final = re.compile(r"-?[0-9]+")
Count = Annotated[int, Field(ge=0)]


def _port(value: int | str) -> int | str:
    if str(value).isdecimal() and int(value) > 65535:
        raise ValueError("a port is a number up to 65535, or a name")
    return value


class _Model(ApiModel):
    model_config = ConfigDict(strict=True)


class _Header(_Model):
    name: str
    value: str


class _Action(_Model):
    port: Annotated[Count | str, AfterValidator(_port)] = 0
    host: str = ""
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: list[_Header] = []


class _Exec(_Model):
    command: Annotated[list[str], Field(min_length=1)]


class _Probe(_Model):
    http_get: _Action | None = None
    tcp_socket: _Action | None = None
    exec: _Exec | None = None
    period_seconds: Count = 0
    initial_delay_seconds: Count = 0
    timeout_seconds: Count = 0
    failure_threshold: Count = 0
    success_threshold: Count = 0


class _Reference(_Model):
    name: str
    optional: bool = False


class _Key(_Reference):
    key: str


class _OneOf(_Model):
    """Of the fields that hold an object exactly one is set."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        fields = {field.alias: getattr(self, name) for name, field in type(self).model_fields.items()}
        choices = {alias: value for alias, value in fields.items() if not isinstance(value, str)}
        if sum(value is not None for value in choices.values()) != 1:
            raise ValueError(f"must have exactly one of {', '.join(map(str, choices))}")
        return self


class _ValueFrom(_OneOf):
    config_map_key_ref: _Key | None = None
    secret_key_ref: _Key | None = None
    field_ref: dict[str, Any] | None = None
    resource_field_ref: dict[str, Any] | None = None


class _Variable(_Model):
    name: Annotated[str, Field(pattern="^[ -<>-~]+$")]
    value: str = ""
    value_from: _ValueFrom | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value and self.value_from:
            raise ValueError("must not have both value and valueFrom")
        return self


class _EnvFrom(_OneOf):
    prefix: Annotated[str, Field(pattern="^[ -<>-~]*$")] = ""
    config_map_ref: _Reference | None = None
    secret_ref: _Reference | None = None


class _Item(_Model):
    key: str
    path: str


class _ConfigMap(_Reference):
    items: list[_Item] = []


class _Secret(_Model):
    secret_name: str
    optional: bool = False
    items: list[_Item] = []


class _Image(_Model):
    reference: str


class _Volume(_Model):
    name: Annotated[str, Field(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    config_map: _ConfigMap | None = None
    secret: _Secret | None = None
    image: _Image | None = None
    empty_dir: dict[str, Any] | None = None
    persistent_volume_claim: dict[str, Any] | None = None


class _Mount(_Model):
    name: str
    mount_path: str
    sub_path: str = ""


class _Port(_Model):
    container_port: Annotated[int, Field(ge=1, le=65535)]
    name: str = ""


def _whole_gpus(limits: dict[str, int | float | str]) -> dict[str, int | float | str]:
    if not str(limits.get(GPU, 0)).isdecimal():
        raise ValueError(f"{GPU} must be a whole number")
    return limits


class _Resources(_Model):
    limits: Annotated[dict[str, int | float | str], AfterValidator(_whole_gpus)] = {}


class _Capabilities(_Model):
    add: list[str] = []


class _SecurityContext(_Model):
    privileged: bool = False
    capabilities: _Capabilities = _Capabilities()


class _Container(_Model):
    name: str = ""
    image: str = ""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    ports: list[_Port] = []
    env: list[_Variable] = []
    env_from: list[_EnvFrom] = []
    volume_mounts: list[_Mount] = []
    resources: _Resources = _Resources()
    readiness_probe: _Probe | None = None
    liveness_probe: _Probe | None = None
    startup_probe: _Probe | None = None
    security_context: _SecurityContext | None = None


class _Toleration(_Model):
    key: str = ""
    operator: Literal["", "Exists", "Equal"] = ""
    value: str = ""
    effect: str = ""


class _Expression(_Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] = []

    @model_validator(mode="after")
    def _values_of_the_operator(self) -> Self:
        match self.operator:
            case "In" | "NotIn" if not self.values:
                raise ValueError(f"the operator {self.operator} needs values")
            case "Exists" | "DoesNotExist" if self.values:
                raise ValueError(f"the operator {self.operator} takes no values")
            case "Gt" | "Lt" if len(self.values) != 1 or not _WHOLE.fullmatch(self.values[0]):
                raise ValueError(f"the operator {self.operator} needs one value, a whole number")
        return self


class _Term(_Model):
    match_expressions: list[_Expression] = []
    match_fields: list[_Expression] = []


class _Terms(_Model):
    node_selector_terms: list[_Term]


class _NodeAffinity(_Model):
    required_during_scheduling_ignored_during_execution: _Terms | None = None


class _PodAffinity(_Model):
    required_during_scheduling_ignored_during_execution: list[dict[str, Any]] = []


class _Affinity(_Model):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


class _PodSpec(_Model):
    containers: Annotated[list[_Container], Field(min_length=1)]
    init_containers: list[_Container] = []
    volumes: list[_Volume] = []
    node_selector: dict[str, str] = {}
    tolerations: list[_Toleration] = []
    affinity: _Affinity | None = None
    service_account_name: str = ""
    timeout_seconds: int = 0
    container_concurrency: int = 0


class _Metadata(_Model):
    annotations: dict[str, str] = {}


class _Template(_Model):
    metadata: _Metadata = _Metadata()
    spec: _PodSpec


class _Spec(_Model):
    template: _Template
    traffic: list[dict[str, Any]] = []


def without_nulls(value: Any) -> Any:
    """``value`` without the fields that are null: to Kubernetes they are not set."""
    if isinstance(value, dict):
        return {key: without_nulls(field) for key, field in value.items() if field is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def malformed(service: Object) -> list[str]:
    """What has the wrong type or is missing, a sentence each with the field's path; empty for a sound Service."""
    try:
        _Spec.model_validate(service.get("spec"))
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, ('spec', *problem['loc'])))}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    return []
