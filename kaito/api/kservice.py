"""The part of a Knative Service, and of its Revisions, that this project reads and writes.

The pod template stays free-form: Knative's own webhook (and the embedded runner's admission) says what it may hold.
"""

from __future__ import annotations

from pydantic import Field

from kaito.api.meta import ApiModel, Condition, FreeForm, ObjectMeta


class Address(ApiModel):
    url: str = ""


class RevisionTemplate(ApiModel):
    metadata: FreeForm = Field({})
    spec: FreeForm = Field({})


class ServiceSpec(ApiModel):
    template: RevisionTemplate
    traffic: tuple[FreeForm, ...] = ()


class RevisionStatus(ApiModel):
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class Revision(ApiModel):
    """One version of a Knative Service: serving.knative.dev/v1."""

    metadata: ObjectMeta
    spec: FreeForm = Field({})
    status: RevisionStatus = RevisionStatus()


class ServiceStatus(ApiModel):
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    url: str = ""
    address: Address = Address()
    latest_created_revision_name: str = ""
    latest_ready_revision_name: str = ""
    traffic: tuple[FreeForm, ...] = ()


class Service(ApiModel):
    """A Knative Service: serving.knative.dev/v1."""

    metadata: ObjectMeta
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()
