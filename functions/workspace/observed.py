"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Object


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is: the Workspace (None once gone), its claims, all candidate nodes, its Knative Service.

    Claims without a Workspace are what a replica made that did not know of the deletion yet.
    """

    workspace: Object | None
    claims: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    service: Object | None = None
