"""What an installation decides, from the environment of the recorder's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from kaito.api.durations import seconds
from kaito.api.sizes import megabytes

DATABASE: Final = "sqlite:////var/lib/kaito/recordings.db"
RETENTION: Final = "168h"
MEGABYTES: Final = 1024
_BACKENDS: Final = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Settings:
    """``retention``: seconds that a record is kept; ``most``: bytes that all of them may take."""

    database: URL
    retention: float
    most: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError, which names no password."""
        try:
            database = make_url(environment.get("KAITO_RECORDER_DATABASE", DATABASE))
        except (ArgumentError, ValueError):
            database = None
        if database is None or database.get_backend_name() not in _BACKENDS or not database.database:
            raise ValueError("KAITO_RECORDER_DATABASE must be sqlite:////FILE or postgresql://USER:PASSWORD@HOST/NAME")
        try:
            retention = seconds(environment.get("KAITO_RECORDER_RETENTION", RETENTION))
        except ValueError as error:
            raise ValueError(f"KAITO_RECORDER_RETENTION: {error}") from error
        return cls(database, retention, megabytes(environment, "KAITO_RECORDER_MEGABYTES", MEGABYTES))
