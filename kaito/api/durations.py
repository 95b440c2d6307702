"""Durations as Kubernetes and Knative write them: Go's."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """The seconds of a Go duration such as ``1h30m`` or ``600s``; raises ValueError for anything else."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is not a duration like 30s, 10m or 1h")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
