"""What all the API types share: metadata, conditions, selectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

ConditionStatus = Literal["True", "False", "Unknown"]


class ApiModel(BaseModel):
    """camelCase outside, snake_case inside, immutable; fields of later releases are carried by, not refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class OwnerReference(ApiModel):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False


class ObjectMeta(ApiModel):
    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Condition(ApiModel):
    """A fact about the object: True, False (a person has to act) or Unknown (it will change by itself)."""

    type: str
    status: ConditionStatus
    reason: str = ""
    message: str = ""
    last_transition_time: str = Field(default="", json_schema_extra={"format": "date-time"})
    observed_generation: int = 0


#: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL_KEY = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LabelKey = Annotated[str, Field(max_length=317, pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
MAX_LABELS = 32


class LabelSelectorRequirement(ApiModel):
    key: LabelKey
    operator: str = Field(max_length=16)
    values: Annotated[tuple[LabelValue, ...], Field(max_length=MAX_LABELS)] = ()


class LabelSelector(ApiModel):
    match_labels: dict[str, LabelValue] = Field({}, max_length=MAX_LABELS, description="Labels a node must have.")
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        (), max_length=MAX_LABELS, description="Only operator In with one value, which says the same as a label."
    )

    def labels(self) -> dict[str, str]:
        """Both forms as one mapping of required labels."""
        return {**self.match_labels, **{e.key: e.values[0] for e in self.match_expressions if e.values}}


#: An embedded Kubernetes type that is passed on as it is.
FreeForm = dict[str, Any]
