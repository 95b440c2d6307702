"""The types of what the runner reads in a Service's template.

The embedded CRD keeps templates free-form, where Knative's API would refuse a field of the wrong type. Which fields
there may be is admission's business.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from kaito.api.meta import ApiModel
from kaito.api.resources import Object
from kaito.embedded.knative.revision import GPU

Count = Annotated[int, Field(ge=0)]


class _Model(ApiModel):
    model_config = ConfigDict(strict=True)


class _Header(_Model):
    name: str
    value: str


class _Action(_Model):
    port: int | str = 0
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


class _ValueFrom(_Model):
    config_map_key_ref: _Key | None = None
    secret_key_ref: _Key | None = None


class _Variable(_Model):
    name: str
    value: str = ""
    value_from: _ValueFrom | None = None


class _EnvFrom(_Model):
    prefix: str = ""
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


class _Mount(_Model):
    name: str
    mount_path: str
    sub_path: str = ""


class _Port(_Model):
    container_port: Annotated[int, Field(ge=1, le=65535)]
    name: str = ""


def _whole_gpus(limits: dict[str, int | float | str]) -> dict[str, int | float | str]:
    if not str(limits.get(GPU, 0)).isdigit():
        raise ValueError(f"{GPU} must be a whole number")
    return limits


class _Resources(_Model):
    limits: Annotated[dict[str, int | float | str], AfterValidator(_whole_gpus)] = {}


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


class _Toleration(_Model):
    key: str = ""
    operator: Literal["", "Exists", "Equal"] = ""
    value: str = ""
    effect: str = ""


class _Expression(_Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] = []


class _Term(_Model):
    match_expressions: list[_Expression] = []
    match_fields: list[_Expression] = []


class _Terms(_Model):
    node_selector_terms: list[_Term]


class _NodeAffinity(_Model):
    required_during_scheduling_ignored_during_execution: _Terms | None = None


class _Affinity(_Model):
    node_affinity: _NodeAffinity | None = None


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


def malformed(service: Object) -> list[str]:
    """What has the wrong type or is missing, a sentence each with the field's path; empty for a sound template."""
    try:
        _Template.model_validate(service["spec"].get("template"))
    except ValidationError as error:
        return [
            f"spec.template.{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    return []
