"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Kind, Object


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is: the Workspace (None once gone), its claims, all candidate nodes, what carries its model.

    Claims without a Workspace are what a replica made that did not know of the deletion yet. ``children`` are objects
    of the names that this Workspace's have, whoever made them; ``config`` is the ConfigMap that inference.config names;
    ``pods`` are read only of a StatefulSet that is not ready, to say why; ``revisions`` only where
    the Workspace does not ask for what its latest says; ``routed`` is the Knative Revision that its Service leads to,
    read only where that may be at zero.
    """

    workspace: Object | None
    claims: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    children: tuple[Object, ...] = ()
    config: Object | None = None
    pods: tuple[Object, ...] = ()
    revisions: tuple[Object, ...] = ()
    routed: Object | None = None

    def child(self, kind: Kind, name: str) -> Object | None:
        """What is there under that name."""
        found = (it for it in self.children if Kind.of(it) == kind and it["metadata"]["name"] == name)
        return next(found, None)
