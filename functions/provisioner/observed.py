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
    claims, read only where its own is lost or not Ready on AKS, and ``missing`` is how many of those claims have lost
    theirs. Only where the cloud is AKS: ``pool`` is the agent pool of its name; an error is why that could not be read;
    ``cluster`` is what tells this Kubernetes cluster from others.
    """

    claim: Object | None
    nodes: tuple[Object, ...] = ()
    others: tuple[Object, ...] = ()
    missing: int = 0
    pool: Pool | AzureError | None = None
    cluster: str = ""
