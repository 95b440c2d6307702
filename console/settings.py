"""What an installation decides, from the environment of the console's Knative Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from console.app import LOOPBACK
from eventing.recordings.remote import is_url
from kaito.api.durations import seconds

RECORDER: Final = "http://kaito-recorder.kaito-system.svc.cluster.local"
#: What it is called in its cluster.
NAME: Final = "kaito-console.kaito-system"
WINDOW: Final = "24h"
ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """``recorder``: its URL, empty for none; ``window``: seconds before the start that are shown too; ``rows``: what is
    held in memory; ``hosts``: the names that the page is asked by."""

    recorder: str
    window: float
    rows: int
    hosts: frozenset[str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError."""
        recorder = environment.get("KAITO_CONSOLE_RECORDER", RECORDER)
        if recorder and not is_url(recorder):
            raise ValueError("KAITO_CONSOLE_RECORDER must be a recorder's URL, or empty")
        try:
            window = seconds(environment.get("KAITO_CONSOLE_WINDOW", WINDOW))
        except ValueError as error:
            raise ValueError(f"KAITO_CONSOLE_WINDOW: {error}") from error
        rows = environment.get("KAITO_CONSOLE_ROWS", str(ROWS))
        if not (rows.isascii() and rows.isdigit() and int(rows) >= 100):
            raise ValueError("KAITO_CONSOLE_ROWS must be a number, 100 or more")
        more = environment.get("KAITO_CONSOLE_HOSTS", "").lower().split(",")
        ours = (NAME, f"{NAME}.svc", f"{NAME}.svc.cluster.local")
        return cls(recorder, window, int(rows), LOOPBACK.union(ours, filter(None, map(str.strip, more))))
