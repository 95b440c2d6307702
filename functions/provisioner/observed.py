"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Object

#: On every node of ours: the claim that has it.
LABEL_CLAIM = "kaito.sh/claim"


@dataclass(frozen=True, slots=True)
class Observed:
    """The claim (None once gone) and its nodes; more than one is a mistake that is reported, never acted on.

    ``others`` are the nodes that are not its own, read only where a claim may be given one of them.
    """

    claim: Object | None
    nodes: tuple[Object, ...] = ()
    others: tuple[Object, ...] = ()
