"""What somebody asks for and cannot have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the Workspace asks for and cannot have: only a person can help. ``curable``: by something that no event
    tells us of, so that it has to be looked for."""

    reason: str
    message: str
    curable: bool = False
