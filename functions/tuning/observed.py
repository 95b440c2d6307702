"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Object


@dataclass(frozen=True, slots=True)
class Observed:
    """The Workspace (None once gone, or where it does not tune), the Job of its name, whoever made it, that Job's pods,
    and the ConfigMap of its training config; ``progress`` is what the pod that trains says of itself."""

    workspace: Object | None
    job: Object | None = None
    pods: tuple[Object, ...] = ()
    config: Object | None = None
    progress: Object | None = None
