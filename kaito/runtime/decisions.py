"""What a function decides, apart from all that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from kaito.runtime.plan import Plan, Refused

Observed = TypeVar("Observed")


@dataclass(frozen=True, slots=True)
class Decisions(Generic[Observed]):
    """Both are pure: what to do, and what instead when a write was refused for good, with the words it was refused
    with. ``types`` are the classes that what it observes and plans consists of, besides the runtime's."""

    reconcile: Callable[[Observed, datetime], Plan]
    refused: Callable[[Observed, Refused, datetime], Plan]
    types: tuple[type, ...]
