"""What an installation decides, from the environment of the function's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CREATE, LABEL = "create", "label"
#: The clouds, and where the nodes of the local one come from; the first of each is the default.
CLOUDS = ("local",)
LOCAL_NODES = (CREATE, LABEL)


@dataclass(frozen=True, slots=True)
class Settings:
    """``local_nodes``: the local cloud creates Node objects with no machine behind them (the embedded platform), or
    labels the cluster's own nodes. ``boot_seconds``: how long a node that it creates takes to register."""

    local_nodes: str = CREATE
    boot_seconds: float = 2

    @property
    def adopts(self) -> bool:
        """Do claims get nodes that are there already? Then all nodes have to be read."""
        return self.local_nodes == LABEL

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises ValueError for what this release does not know."""
        _choice(environment, "KAITO_CLOUD", CLOUDS)
        return cls(
            local_nodes=_choice(environment, "KAITO_LOCAL_NODES", LOCAL_NODES),
            boot_seconds=float(environment.get("KAITO_LOCAL_BOOT_SECONDS", "2")),
        )


def _choice(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = environment.get(name, known[0])
    if value not in known:
        raise ValueError(f"{name} is {value!r}; this release knows {', '.join(known)}")
    return value
