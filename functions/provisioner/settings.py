"""What an installation decides, from the environment of the function's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLOUDS = ("local",)


@dataclass(frozen=True, slots=True)
class Settings:
    """``boot_seconds``: how long a node of the local cloud takes to register."""

    boot_seconds: float = 2

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        cloud = environment.get("KAITO_CLOUD", "local")
        if cloud not in CLOUDS:
            raise ValueError(f"KAITO_CLOUD is {cloud!r}; this release knows {', '.join(CLOUDS)}")
        return cls(float(environment.get("KAITO_LOCAL_BOOT_SECONDS", "2")))
