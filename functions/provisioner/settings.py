"""What an installation decides, from the environment of the function's Knative Service."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kaito.api.durations import seconds

CREATE, LABEL = "create", "label"
#: The clouds, and where the nodes of the local one come from; the first of each is the default.
CLOUDS = ("local", "aks")
LOCAL_NODES = (CREATE, LABEL)


@dataclass(frozen=True, slots=True)
class ManagedCluster:
    """Where Azure has the Kubernetes cluster. ``endpoint``: of Azure's resource manager, empty for the public cloud's;
    the names of its variables are the reference's."""

    subscription: str
    resource_group: str
    name: str
    endpoint: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ManagedCluster:
        """Raises ValueError that names what is missing."""
        names = ("ARM_SUBSCRIPTION_ID", "ARM_RESOURCE_GROUP", "AZURE_CLUSTER_NAME")
        values = [environment.get(name, "").strip() for name in names]
        if missing := [name for name, value in zip(names, values, strict=True) if not value]:
            raise ValueError(f"KAITO_CLOUD is aks, so set {', '.join(missing)} too")
        subscription, group, name = values
        endpoint = environment.get("ARM_ENDPOINT", "").strip().rstrip("/")
        if endpoint and not _is_safe(endpoint):
            raise ValueError(f"ARM_ENDPOINT is {endpoint!r}; it must begin with https://, for a token is sent there")
        return cls(subscription, group, name, endpoint)


@dataclass(frozen=True, slots=True)
class Settings:
    """``azure``: the cluster whose agent pools are the nodes; None for the local cloud. ``launch_deadline`` and
    ``registration_deadline``: seconds that a pool may take to be there, and then its node to join. ``repair_after``:
    those that a node may be not Ready before it is replaced.

    ``local_nodes``: the local cloud creates Node objects with no machine behind them (the embedded platform), or
    labels the cluster's own nodes. ``boot_seconds``: how long a node that it creates takes to register."""

    azure: ManagedCluster | None = None
    launch_deadline: float = 30 * 60
    registration_deadline: float = 15 * 60
    repair_after: float = 10 * 60
    local_nodes: str = CREATE
    boot_seconds: float = 2

    @property
    def adopts(self) -> bool:
        """Do claims get nodes that are there already? Then all nodes have to be read."""
        return self.local_nodes == LABEL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ValueError for what this release does not know."""
        aks = _choice(environment, "KAITO_CLOUD", CLOUDS) == "aks"
        return cls(
            azure=ManagedCluster.from_environment(environment) if aks else None,
            launch_deadline=_seconds(environment, "KAITO_LAUNCH_DEADLINE", "30m"),
            registration_deadline=_seconds(environment, "KAITO_REGISTRATION_DEADLINE", "15m"),
            repair_after=_seconds(environment, "KAITO_NODE_REPAIR_AFTER", "10m", never=True),
            local_nodes=_choice(environment, "KAITO_LOCAL_NODES", LOCAL_NODES),
            boot_seconds=float(environment.get("KAITO_LOCAL_BOOT_SECONDS", "2")),
        )


def _is_safe(endpoint: str) -> bool:
    """May a token be sent there?"""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _seconds(environment: Mapping[str, str], name: str, default: str, *, never: bool = False) -> float:
    value = environment.get(name, default)
    if never and value == "never":
        return math.inf
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" + (", or never" if never else "")) from error


def _choice(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = environment.get(name, known[0])
    if value not in known:
        raise ValueError(f"{name} is {value!r}; this release knows {', '.join(known)}")
    return value
