"""What a decision is made from."""

from __future__ import annotations

from dataclasses import dataclass

from functions.provisioner.aks.failure import AzureError
from functions.provisioner.aks.pool import Pool
from kaito.api.resources import Object


@dataclass(frozen=True, slots=True)
class Observed:
    """The claim (None once gone) and its nodes; more than one is a mistake that is reported, never acted on.

    ``others`` are the nodes that are not its own: all of them, read only where a claim may be given one; those of other
    claims, read only where one of its own is not Ready on AKS. ``pool`` is the agent pool of its name, read only where
    the cloud is AKS; an error is why that could not be read.
    """

    claim: Object | None
    nodes: tuple[Object, ...] = ()
    others: tuple[Object, ...] = ()
    pool: Pool | AzureError | None = None
