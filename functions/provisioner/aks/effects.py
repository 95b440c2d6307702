"""What is written on Azure: each done once or refused, and never to a pool that is not as it was seen. Values."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Object
from kaito.runtime.plan import Beyond


@dataclass(frozen=True, slots=True)
class CreatePool(Beyond):
    """Create it, only where there is none of that name."""

    name: str
    body: Object
    why: str

    def __str__(self) -> str:
        return f"create agent pool {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class DeletePool(Beyond):
    """Delete it, only as it was seen (``etag``); gone is fine."""

    name: str
    etag: str
    why: str

    def __str__(self) -> str:
        return f"delete agent pool {self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class AbortPool(Beyond):
    """End what is under way with it, so that it can be deleted."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"abort agent pool {self.name}: {self.why}"
