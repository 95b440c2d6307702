"""The part of a pod template that this project reads; all of it is passed on as it is."""

from __future__ import annotations

from pydantic import Field

from kaito.api.claims import GPU
from kaito.api.meta import ApiModel, FreeForm


class ContainerResources(ApiModel):
    limits: dict[str, int | str] | None = None


class Container(ApiModel):
    image: str = Field(min_length=1)
    resources: ContainerResources | None = None

    @property
    def gpus(self) -> int:
        """Raises ValueError for what is no whole number, which a GPU limit has to be."""
        return int(((self.resources and self.resources.limits) or {}).get(GPU, 0))


class PodSpec(ApiModel):
    containers: tuple[Container, ...] = Field(min_length=1)
    node_selector: dict[str, str] | None = None
    tolerations: tuple[FreeForm, ...] | None = None

    @property
    def gpus(self) -> int:
        """The GPUs that all containers are limited to together; raises ValueError."""
        return sum(container.gpus for container in self.containers)


class PodTemplateMetadata(ApiModel):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class PodTemplate(ApiModel):
    """A PodTemplateSpec."""

    metadata: PodTemplateMetadata = PodTemplateMetadata()
    spec: PodSpec
