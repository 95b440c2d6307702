"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from kaito.api.resources import Object

#: On every node of ours: the claim it was made for.
LABEL_CLAIM = "kaito.sh/claim"


@dataclass(frozen=True, slots=True)
class Observed:
    """The claim (None once gone) and its nodes; more than one is a mistake that is reported, never acted on."""

    claim: Object | None
    nodes: tuple[Object, ...] = ()
